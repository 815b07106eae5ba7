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
  var closed = [];
  addEventListener("beforeprint", function () {
    closed = Array.from(document.querySelectorAll("details:not([open])"));
    closed.forEach(function (fold) { fold.open = true; });
  });
  addEventListener("afterprint", function () {
    closed.forEach(function (fold) { fold.open = false; });
  });
})();
