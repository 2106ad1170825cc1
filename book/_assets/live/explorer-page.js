import { explorer } from "./explorer.js";
import { mount } from "./shared.js";

mount("#explorer", (node) => explorer(node, "_static/live/"));
