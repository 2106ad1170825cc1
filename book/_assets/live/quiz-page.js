import { quiz } from "./quiz.js";
import { mount } from "./shared.js";

mount("#quiz", (node) => quiz(node, "_static/live/"));
