"use strict";
// Draw the pattern that this page carries.
for (const host of document.querySelectorAll("[data-pattern-host]")) {
  for (const part of document.querySelectorAll("[data-pattern-live]")) part.hidden = false;
  const packed = document.querySelector("script[data-pattern]");
  graphUnpack(packed.textContent).then((data) => mountPattern(host, JSON.stringify(data)));
}
