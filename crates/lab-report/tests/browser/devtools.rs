//! A Chromium without a window, spoken to over its DevTools protocol.
//!
//! The protocol goes over two pipes (`--remote-debugging-pipe`), one JSON message after another with
//! a zero byte between them, so that neither a port nor a web socket is needed.

use std::{
    collections::VecDeque,
    env,
    io::{BufRead, BufReader, Write},
    path::PathBuf,
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::Duration,
};

use serde_json::{Value, json};
use tempfile::TempDir;

/// What a Chromium may be called, the likeliest to be a whole one first: Ubuntu's `chromium-browser`
/// only says how to install another.
const NAMES: [&str; 4] = ["google-chrome", "google-chrome-stable", "chromium", "chromium-browser"];

/// How long one answer may take. Chosen: a busy machine needs some seconds to start the browser.
const PATIENCE: Duration = Duration::from_secs(120);

/// Gives the browser the pipes where it looks for them, at descriptors 3 and 4; no crate here may
/// place descriptors itself.
const WITH_PIPES: &str = r#"exec "$0" "$@" 3<&0 4>&1 </dev/null >/dev/null"#;

/// A running browser. It ends with this.
pub(crate) struct Browser {
    child: Child,
    to_browser: ChildStdin,
    from_browser: Receiver<Value>,
    /// What came while another answer was waited for.
    events: VecDeque<Value>,
    last_id: u64,
    /// Where the browser keeps what it keeps.
    _profile: TempDir,
}

impl Browser {
    /// Starts a browser; `None` where none of [`NAMES`] is in PATH.
    pub(crate) fn start() -> Option<Self> {
        let program = find()?;
        let profile = tempfile::tempdir().unwrap();
        let mut child = Command::new("sh")
            .args(["-c", WITH_PIPES])
            .arg(program)
            // The sandbox does not start for root, and the page is our own.
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
            .args(["--no-first-run", "--disable-background-networking", "--remote-debugging-pipe"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("sh starts");
        let (to_test, from_browser) = channel();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        thread::spawn(move || {
            let mut message = Vec::new();
            while output.read_until(0, &mut message).is_ok_and(|n| 0 < n) {
                let parsed = serde_json::from_slice(message.strip_suffix(&[0]).unwrap_or(&message));
                message.clear();
                if to_test.send(parsed.unwrap_or(Value::Null)).is_err() {
                    return;
                }
            }
        });
        let to_browser = child.stdin.take().unwrap();
        let events = VecDeque::new();
        Some(Self { child, to_browser, from_browser, events, last_id: 0, _profile: profile })
    }

    /// Calls `method`, of the tab `session` or of the browser itself, and returns its result.
    ///
    /// **Panics**: the browser answers with an error, or not within [`PATIENCE`].
    pub(crate) fn call(&mut self, session: Option<&str>, method: &str, params: Value) -> Value {
        self.last_id += 1;
        let mut message = json!({ "id": self.last_id, "method": method, "params": params });
        if let Some(session) = session {
            message["sessionId"] = session.into();
        }
        let mut bytes = serde_json::to_vec(&message).unwrap();
        bytes.push(0);
        self.to_browser.write_all(&bytes).expect("the browser reads");
        loop {
            let mut message = self.receive(method);
            if message["id"] == self.last_id {
                assert!(message["error"].is_null(), "{method}: {}", message["error"]);
                return message["result"].take();
            }
            self.events.push_back(message);
        }
    }

    /// Waits until the tab `session` has said `method`; what came before it is kept.
    ///
    /// **Panics**: it does not say so within [`PATIENCE`].
    pub(crate) fn wait_for(&mut self, session: &str, method: &str) {
        let is_it = |it: &Value| it["method"] == method && it["sessionId"] == session;
        if self.events.iter().any(is_it) {
            return;
        }
        loop {
            let message = self.receive(method);
            let found = is_it(&message);
            self.events.push_back(message);
            if found {
                return;
            }
        }
    }

    /// Takes what the browser has said of the tab `session` without being asked.
    pub(crate) fn take_events(&mut self, session: &str) -> Vec<Value> {
        self.events.drain(..).filter(|it| it["sessionId"] == session).collect()
    }

    fn receive(&self, what_for: &str) -> Value {
        let message = self.from_browser.recv_timeout(PATIENCE);
        message.unwrap_or_else(|error| panic!("wait for {what_for}: {error}"))
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Killed rather than closed: its other processes end when they lose it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn find() -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    let of_name =
        |name: &&str| env::split_paths(&path).map(|it| it.join(name)).find(|it| it.is_file());
    NAMES.iter().find_map(of_name)
}
