// Toggles of the picture: all layers are in the page, so nothing is asked of the server.
element.addEventListener("input", (event) => {
  const result = element.querySelector(".tx-result");
  if (!result) return;
  const target = event.target;
  if (target.classList.contains("tx-opacity")) {
    result.style.setProperty("--tx-opacity", target.value / 100);
  } else if (target.classList.contains("tx-boxes")) {
    result.classList.toggle("tx-nobox", !target.checked);
  } else if (target.classList.contains("tx-show")) {
    for (const layer of result.querySelectorAll("[data-finding]")) {
      layer.hidden = layer.dataset.finding !== target.value;
    }
  }
});
