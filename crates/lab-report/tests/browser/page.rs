//! What a page does in a browser, and what of that is wrong.

use std::path::Path;

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::devtools::Browser;

/// Window widths at which a page must not scroll sideways: a desktop, a tablet, a telephone.
const WIDTHS: [u32; 3] = [1280, 800, 400];
/// Smallest plot that can be read, in CSS pixels.
const PLOT_MIN: (f64, f64) = (300.0, 100.0);
/// How many places are visited with the tab key.
const N_TABS: usize = 40;

/// What is wrong with the page in the file at `path`, each with its kind before a colon.
pub(crate) fn complaints(browser: &mut Browser, path: &Path) -> Vec<String> {
    let mut tab = Tab::open(browser, &format!("file://{}", path.display()));
    let mut complaints = plots(&mut tab);
    complaints.extend(widths(&mut tab));
    complaints.extend(keyboard(&mut tab));
    complaints.extend(sorting(&mut tab));
    complaints.extend(printing(&mut tab));
    complaints.extend(tab.close());
    complaints
}

/// One page, loaded.
struct Tab<'a> {
    browser: &'a mut Browser,
    url: String,
    target: Value,
    session: String,
}

impl<'a> Tab<'a> {
    fn open(browser: &'a mut Browser, url: &str) -> Self {
        let created = browser.call(None, "Target.createTarget", json!({ "url": "about:blank" }));
        let target = created["targetId"].clone();
        let to = json!({ "targetId": target, "flatten": true });
        let attached = browser.call(None, "Target.attachToTarget", to);
        let session = attached["sessionId"].as_str().unwrap().to_owned();
        let mut tab = Self { browser, url: url.to_owned(), target, session };
        tab.set_width(WIDTHS[0]);
        // As if somebody looked at it: otherwise no key goes anywhere.
        tab.call("Emulation.setFocusEmulationEnabled", json!({ "enabled": true }));
        for domain in ["Page", "Runtime", "Log", "Network"] {
            tab.call(&format!("{domain}.enable"), json!({}));
        }
        tab.call("Page.navigate", json!({ "url": url }));
        tab.browser.wait_for(&tab.session, "Page.loadEventFired");
        tab
    }

    fn call(&mut self, method: &str, params: Value) -> Value {
        self.browser.call(Some(&self.session), method, params)
    }

    /// What the JavaScript `expression` is.
    fn evaluate<T: DeserializeOwned>(&mut self, expression: &str) -> T {
        let params = json!({ "expression": expression, "returnByValue": true });
        let mut answer = self.call("Runtime.evaluate", params);
        assert!(answer["exceptionDetails"].is_null(), "{expression}: {answer}");
        serde_json::from_value(answer["result"]["value"].take()).unwrap()
    }

    fn set_width(&mut self, width: u32) {
        let params =
            json!({ "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false });
        self.call("Emulation.setDeviceMetricsOverride", params);
    }

    fn press(&mut self, key: Key) {
        let (name, code, text) = match key {
            Key::Tab => ("Tab", 9, ""),
            Key::Enter => ("Enter", 13, "\r"),
        };
        for kind in ["keyDown", "keyUp"] {
            let mut params =
                json!({ "type": kind, "key": name, "code": name, "windowsVirtualKeyCode": code });
            if kind == "keyDown" && !text.is_empty() {
                params["text"] = text.into();
            }
            self.call("Input.dispatchKeyEvent", params);
        }
    }

    /// Closes the tab, and says what it asked the network for and what it complained of itself.
    fn close(self) -> Vec<String> {
        let events = self.browser.take_events(&self.session);
        self.browser.call(None, "Target.closeTarget", json!({ "targetId": self.target }));
        events.iter().filter_map(|it| complaint_of(it, &self.url)).collect()
    }
}

#[derive(Clone, Copy)]
enum Key {
    Tab,
    Enter,
}

/// What is wrong about something that the browser said of the page at `url`.
fn complaint_of(event: &Value, url: &str) -> Option<String> {
    let params = &event["params"];
    let is_bad = |level: &Value| level == "error" || level == "warning" || level == "assert";
    match event["method"].as_str()? {
        "Network.requestWillBeSent" => {
            let asked = params["request"]["url"].as_str()?;
            (asked.split('#').next() != Some(url)).then(|| format!("network: asks for {asked}"))
        }
        "Runtime.exceptionThrown" => Some(format!("console: {}", params["exceptionDetails"])),
        "Runtime.consoleAPICalled" if is_bad(&params["type"]) => {
            Some(format!("console: {}", params["args"]))
        }
        "Log.entryAdded" if is_bad(&params["entry"]["level"]) => {
            Some(format!("console: {}", params["entry"]["text"]))
        }
        _ => None,
    }
}

#[derive(Deserialize)]
struct PlotFacts {
    title: String,
    is_visible: bool,
    width: f64,
    height: f64,
}

fn plots(tab: &mut Tab<'_>) -> Vec<String> {
    let plots: Vec<PlotFacts> = tab.evaluate(
        "[...document.querySelectorAll('main svg')].map((svg) => {
            const box = svg.getBoundingClientRect();
            const seen = { visibilityProperty: true, opacityProperty: true };
            return {
                title: svg.querySelector('title').textContent,
                is_visible: svg.checkVisibility(seen),
                width: box.width,
                height: box.height,
            };
        })",
    );
    let is_bad =
        |it: &&PlotFacts| !it.is_visible || it.width < PLOT_MIN.0 || it.height < PLOT_MIN.1;
    let none = plots.is_empty().then(|| "plot: there is none".to_owned());
    let hidden =
        plots.iter().filter(is_bad).map(|it| format!("plot: cannot be seen: {}", it.title));
    none.into_iter().chain(hidden).collect()
}

fn widths(tab: &mut Tab<'_>) -> Vec<String> {
    let mut complaints = Vec::new();
    for width in WIDTHS {
        tab.set_width(width);
        let page_width: u32 = tab.evaluate("document.documentElement.scrollWidth");
        if width < page_width {
            complaints.push(format!("width: {page_width} pixels in a window of {width}"));
        }
    }
    tab.set_width(WIDTHS[0]);
    complaints
}

#[derive(Deserialize)]
struct Focus {
    what: String,
    in_main: bool,
    is_marked: bool,
}

/// The skip link comes first and leads into the page; wherever the tab key goes, the place shows.
fn keyboard(tab: &mut Tab<'_>) -> Vec<String> {
    let focus = "(() => {
        const at = document.activeElement;
        const style = getComputedStyle(at);
        const box = at.getBoundingClientRect();
        return {
            what: at.className || at.textContent.trim() || at.tagName,
            in_main: document.querySelector('main').contains(at),
            is_marked: style.outlineStyle !== 'none' && 0 < parseFloat(style.outlineWidth)
                && 0 <= box.left && 0 < box.width,
        };
    })()";
    let mut complaints = Vec::new();
    tab.press(Key::Tab);
    let first: Focus = tab.evaluate(focus);
    if first.what != "skip" || !first.is_marked {
        complaints.push(format!("keyboard: the first place is {}", first.what));
    }
    tab.press(Key::Enter);
    for _ in 0..N_TABS {
        tab.press(Key::Tab);
        let at: Focus = tab.evaluate(focus);
        if !at.in_main {
            complaints.push(format!("keyboard: {} is before the skip link's target", at.what));
        }
        if !at.is_marked {
            complaints.push(format!("keyboard: one cannot see that {} is chosen", at.what));
        }
    }
    complaints
}

/// Presses every head of every table that sorts, twice, with the keyboard.
fn sorting(tab: &mut Tab<'_>) -> Vec<String> {
    let mut complaints = Vec::new();
    let n_heads: Vec<usize> = tab.evaluate(
        "[...document.querySelectorAll('table.sortable')].map((it) => it.tHead.rows[0].cells.length)",
    );
    if n_heads.is_empty() {
        complaints.push("sort: there is no table to sort".to_owned());
    }
    for (table, n_heads) in n_heads.into_iter().enumerate() {
        for head in 0..n_heads {
            let place = format!(
                "const table = document.querySelectorAll('table.sortable')[{table}];
                 const head = table.tHead.rows[0].cells[{head}];"
            );
            let _: Value =
                tab.evaluate(&format!("{{ {place} head.querySelector('button').focus(); }} null"));
            for order in ["ascending", "descending"] {
                tab.press(Key::Enter);
                let sorted: Sorted = tab.evaluate(&format!(
                    "(() => {{ {place}
                        const key = (row) => row.cells[{head}].dataset.sort ?? null;
                        const keys = [...table.tBodies[0].rows].map(key);
                        return {{ order: head.ariaSort, keys }};
                    }})()"
                ));
                if sorted.order != order || !sorted.is_in_order() {
                    complaints.push(format!(
                        "sort: table {table}, column {head}: {} when pressed to be {order}: {:?}",
                        sorted.order, sorted.keys
                    ));
                }
            }
        }
    }
    complaints
}

/// What a column says of its order, and what its rows are sorted by.
#[derive(Deserialize)]
pub(crate) struct Sorted {
    pub(crate) order: String,
    pub(crate) keys: Vec<Option<String>>,
}

impl Sorted {
    /// Whether the rows are in that order, those without a key last.
    pub(crate) fn is_in_order(&self) -> bool {
        let n_keys = self.keys.iter().take_while(|it| it.is_some()).count();
        let mut keys: Vec<&str> =
            self.keys[..n_keys].iter().flatten().map(String::as_str).collect();
        if self.order == "descending" {
            keys.reverse();
        }
        let numbers: Result<Vec<f64>, _> = keys.iter().map(|it| it.parse()).collect();
        let is_sorted = numbers.map_or_else(|_| keys.is_sorted(), |it| it.is_sorted());
        is_sorted && self.keys[n_keys..].iter().all(Option::is_none)
    }
}

#[derive(Deserialize)]
struct Printed {
    has_contents: bool,
    has_every_trial: bool,
    breaks: Vec<String>,
}

/// On paper there are no controls, nothing is folded, and every variant begins a page; the first
/// one does so together with the heading above it.
fn printing(tab: &mut Tab<'_>) -> Vec<String> {
    tab.call("Emulation.setEmulatedMedia", json!({ "media": "print" }));
    let printed: Printed = tab.evaluate(
        "({
            has_contents: document.querySelector('nav').checkVisibility(),
            has_every_trial: document.querySelector('details table').checkVisibility(),
            breaks: [...document.querySelectorAll('section.variant')].slice(1)
                .map((it) => getComputedStyle(it).breakBefore),
        })",
    );
    tab.call("Emulation.setEmulatedMedia", json!({ "media": "" }));
    let mut complaints = Vec::new();
    if printed.has_contents {
        complaints.push("print: the contents are printed, where nobody can press them".to_owned());
    }
    if !printed.has_every_trial {
        complaints.push("print: the table of trials stays folded".to_owned());
    }
    if printed.breaks.is_empty() || printed.breaks.iter().any(|it| it != "page") {
        complaints.push("print: a variant does not begin a page".to_owned());
    }
    complaints
}
