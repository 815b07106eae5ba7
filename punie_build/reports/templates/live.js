"use strict";
(function () {
  var live = false, tasks = 0, done = 0, failed = [];
  var state = document.getElementById("state"), task = document.getElementById("task");
  var bar = document.getElementById("bar"), problem = document.getElementById("problem");
  var page = document.getElementById("page");
  var results = ["ran", "restored", "cut-off", "current", "failed", "skipped"];

  function show(text) {
    problem.textContent = text;
    problem.hidden = !text;
  }
  function progress(value, total) {
    bar.hidden = !total;
    bar.max = total || 1;
    bar.value = value;
  }
  function apply(event) {
    if (event.event === "live") {
      live = true;
      if (state.textContent === "connecting") state.textContent = "waiting for a build";
    } else if (event.event === "start") {
      tasks = event.tasks; done = 0; failed = [];
      state.textContent = "building"; task.textContent = ""; show(""); progress(0, tasks);
    } else if (event.event === "running") {
      state.textContent = "building " + event.task; task.textContent = event.forecast; progress(done, tasks);
    } else if (event.event === "progress") {
      task.textContent = event.title + " " + event.done + "/" + event.total + "  " + event.facts;
      progress(event.done, event.total);
    } else if (results.indexOf(event.event) >= 0) {
      done += 1; progress(done, tasks);
      if (event.event === "failed") { failed.push(event.task + "\n" + event.error); show(failed.join("\n")); }
    } else if (event.event === "refused") {
      state.textContent = "not built"; task.textContent = ""; show(event.text); progress(0, 0);
    } else if (event.event === "end") {
      state.textContent = failed.length ? "failed" : "up to date";
      task.textContent = event.time; progress(0, 0);
      if (live) page.contentWindow.location.reload();
    }
  }

  page.addEventListener("load", function () {
    var name = page.contentWindow.location.pathname.slice(1);
    document.title = page.contentDocument.title + " · live";
    if (name && name !== "index.html") history.replaceState(null, "", "#" + name);
    else history.replaceState(null, "", location.pathname);
  });
  if (/^#[^\/\\:]+\.html$/.test(location.hash)) page.src = location.hash.slice(1);
  var source = new EventSource("events");
  source.onmessage = function (message) { apply(JSON.parse(message.data)); };
  source.onopen = function () { live = false; };
  source.onerror = function () { state.textContent = "`punie-build watch` has ended"; };
})();
