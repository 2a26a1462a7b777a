/** What components are written in: tagged templates that become preact's nodes. */

import htm from "htm";
import { h } from "preact";

export const html = htm.bind(h);
