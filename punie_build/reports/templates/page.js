"use strict";
(function () {
  var packed = document.getElementById("packed");
  function fill(texts) {
    document.querySelectorAll("[data-text]").forEach(function (block) {
      texts[+block.dataset.text].forEach(function (part) {
        var node = document.createElement(part[0] || "span");
        node.textContent = part[1];
        block.append(node);
      });
    });
  }
  if (packed) {
    var bytes = Uint8Array.from(atob(packed.textContent), function (letter) { return letter.charCodeAt(0); });
    var stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    new Response(stream).text().then(function (text) { fill(JSON.parse(text)); });
  }
  function key(row, column) {
    var text = row.cells[column].textContent.trim();
    var number = parseFloat(text);
    return text !== "" && String(number) !== "NaN" ? number : text;
  }
  document.querySelectorAll("table.sortable").forEach(function (table) {
    table.querySelectorAll("thead button").forEach(function (button, column) {
      button.addEventListener("click", function () {
        var head = button.parentElement;
        var sign = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
        table.querySelectorAll("thead th").forEach(function (other) { other.removeAttribute("aria-sort"); });
        head.setAttribute("aria-sort", sign === 1 ? "ascending" : "descending");
        var rows = Array.from(table.tBodies[0].rows);
        rows.sort(function (one, two) {
          var a = key(one, column), b = key(two, column);
          if (typeof a !== typeof b) { return typeof a === "number" ? -1 : 1; }
          return sign * (a < b ? -1 : a > b ? 1 : 0);
        });
        rows.forEach(function (row) { table.tBodies[0].append(row); });
      });
    });
    var choice = table.closest("section").querySelector(".columns");
    choice.querySelectorAll("input").forEach(function (box) {
      box.addEventListener("change", function () {
        Array.from(table.rows).forEach(function (row) { row.cells[+box.dataset.column].hidden = !box.checked; });
      });
    });
  });
  var search = document.getElementById("search");
  if (search) {
    var cases = Array.from(document.querySelectorAll(".case"));
    search.addEventListener("input", function () {
      var text = search.value.toLowerCase();
      cases.forEach(function (row) {
        row.classList.toggle("unmatched", row.textContent.toLowerCase().indexOf(text) < 0);
      });
    });
  }
  document.querySelectorAll("button[data-only]").forEach(function (button) {
    button.addEventListener("click", function () {
      button.parentElement.querySelectorAll("input").forEach(function (box) {
        box.checked = box.id === button.dataset.only;
      });
    });
  });
  document.querySelectorAll("input[data-curve]").forEach(function (box) {
    box.addEventListener("change", function () {
      box.closest("figure").querySelectorAll("svg ." + box.dataset.curve).forEach(function (node) {
        node.style.display = box.checked ? "" : "none";
      });
    });
  });
  function openLinked() {
    var row = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!row || !row.matches("details.case")) { return; }
    var all = document.getElementById("of-all");
    if (all && row.matches(".outside")) { all.checked = true; }
    row.open = true;
    row.scrollIntoView();
  }
  addEventListener("hashchange", openLinked);
  openLinked();
  var closed = [];
  addEventListener("beforeprint", function () {
    closed = Array.from(document.querySelectorAll("details:not([open])"));
    closed.forEach(function (fold) { fold.open = true; });
  });
  addEventListener("afterprint", function () {
    closed.forEach(function (fold) { fold.open = false; });
  });
})();
