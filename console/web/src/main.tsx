/** The start of the console. */
import "./style/main.css";
import { render } from "preact";
import { App } from "./app.tsx";
import { onSignedOut } from "./api/client.ts";
import { follow } from "./router/location.ts";
import { copyTimes } from "./time/copy.ts";
import { find, session } from "./session/session.ts";

follow();
copyTimes();
onSignedOut(() => {
    if (session.value) session.value = null;
});
void find();

const root = document.getElementById("app");
if (root) render(<App />, root);
