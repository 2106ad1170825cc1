import { cover } from "./cover.js";
import { mount } from "./shared.js";

mount("#cover", (node) => {
  const still = document.querySelector("article img");
  return cover(node, "_static/live/", still, still.closest("p").nextElementSibling);
});
