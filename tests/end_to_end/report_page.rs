//! The report in a browser: it loads without an error and without a network, shows every metric, and fits a narrow screen.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use headless_chrome::{Browser, LaunchOptions, Tab, protocol::cdp::types::Event};
use serde_json::Value;
use vqkit_testing::needed_in_ci;

use crate::vqkit::{shared_run, succeed, text, train_small};

/// How long a browser may take on a machine that does other things too.
const PATIENCE: Duration = Duration::from_secs(180);

/// A browser, or `None`, where there is none and need not be.
fn browser() -> Option<Browser> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let named = |name: &str| std::env::split_paths(&path).map(|folder| folder.join(name)).find(|path| path.is_file());
    let found = ["chromium", "chromium-browser", "google-chrome"].iter().find_map(|name| named(name));
    let path = needed_in_ci(found, "chromium on the path to open the report in")?;
    let options = LaunchOptions {
        path: Some(path),
        sandbox: false,
        idle_browser_timeout: PATIENCE,
        args: vec![OsStr::new("--disable-gpu"), OsStr::new("--disable-dev-shm-usage")],
        ..LaunchOptions::default()
    };
    Some(Browser::new(options).unwrap())
}

/// A page on a screen of a certain width, and what the browser complained of.
struct Opened {
    tab: Arc<Tab>,
    complaints: Arc<Mutex<Vec<String>>>,
}

impl Opened {
    fn new(browser: &Browser, page: &Path, width: u32) -> Self {
        let tab = browser.new_tab().unwrap();
        tab.set_default_timeout(PATIENCE);
        let complaints = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&complaints);
        tab.enable_log().unwrap();
        tab.enable_runtime().unwrap();
        tab.add_event_listener(Arc::new(move |event: &Event| match event {
            Event::LogEntryAdded(entry) => heard.lock().unwrap().push(entry.params.entry.text.clone()),
            Event::RuntimeExceptionThrown(thrown) => {
                heard.lock().unwrap().push(thrown.params.exception_details.text.clone());
            }
            _ => {}
        }))
        .unwrap();
        let size = headless_chrome::protocol::cdp::Emulation::SetDeviceMetricsOverride {
            width,
            height: 900,
            device_scale_factor: 1.0,
            mobile: width < 500,
            scale: None,
            screen_width: None,
            screen_height: None,
            position_x: None,
            position_y: None,
            dont_set_visible_size: None,
            screen_orientation: None,
            viewport: None,
            display_feature: None,
            device_posture: None,
        };
        tab.call_method(size).unwrap();
        tab.navigate_to(&format!("file://{}", page.canonicalize().unwrap().display())).unwrap();
        tab.wait_until_navigated().unwrap();
        Self { tab, complaints }
    }

    fn ask(&self, question: &str) -> Value {
        let answer = self.tab.evaluate(&format!("JSON.stringify({question})"), true).unwrap().value.unwrap();
        serde_json::from_str(answer.as_str().unwrap()).unwrap()
    }

    /// What holds for every page at every width.
    fn check(&self, what: &str) {
        let broken = self.ask(
            "[...document.images].filter(i => !i.complete || i.naturalWidth == 0 || i.clientWidth == 0).map(i => i.alt)",
        );
        assert_eq!(broken, serde_json::json!([]), "{what}: pictures that are not shown");
        let foreign =
            self.ask("performance.getEntriesByType('resource').map(r => r.name).filter(n => !n.startsWith('data:'))");
        assert_eq!(foreign, serde_json::json!([]), "{what}: what was fetched");
        let widths = self.ask("[document.documentElement.scrollWidth, window.innerWidth]");
        let [content, screen] = [0, 1].map(|side| widths[side].as_u64().unwrap());
        assert!(content <= screen, "{what}: {content} pixels of content on a screen of {screen}");
        assert_eq!(*self.complaints.lock().unwrap(), Vec::<String>::new(), "{what}");
    }
}

/// Every metric that a run logged, as the report names it.
fn curves(run: &Path) -> BTreeSet<String> {
    let text = fs::read_to_string(run.join("log.jsonl")).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<serde_json::Map<String, Value>>(line).unwrap());
    let named = lines.flat_map(|line| {
        let stage = line["stage"].as_str().unwrap().to_owned();
        let metrics = line.into_iter().filter(|(name, value)| value.is_f64() && name != "seconds" && name != "step");
        metrics.map(move |(name, _)| format!("{stage}: {}", name.replace('_', " "))).collect::<Vec<_>>()
    });
    named.collect()
}

#[test]
fn the_report_shows_everything_at_every_width() {
    let Some(browser) = browser() else { return };
    let run = shared_run();
    for width in [1200, 390] {
        let page = Opened::new(&browser, &run.join("report/report.html"), width);
        page.check(&format!("report, {width} pixels"));
        let pictures = page.ask("[...document.images].map(i => i.alt)");
        for alt in ["reconstructions", "samples", "samples by condition"] {
            assert!(pictures.as_array().unwrap().contains(&alt.into()), "no picture `{alt}` among {pictures}");
        }
        assert!(pictures.to_string().contains("atlas"), "{pictures}");
        let shown = page.ask("[...document.querySelectorAll('svg')].map(s => s.textContent)").to_string();
        let missing: Vec<_> = curves(run).into_iter().filter(|curve| !shown.contains(curve)).collect();
        assert!(missing.is_empty(), "curves that are not shown: {missing:?}");
        let body = page.ask("document.body.innerText").as_str().unwrap().to_owned();
        for word in ["PSNR", "SSIM", "perplexity", "vqkit-validation-1", "codebook_size = 16", "bits per pixel"] {
            assert!(body.contains(word), "the report says nothing of `{word}`");
        }
        let anchors =
            page.ask("[...document.querySelectorAll('nav a')].filter(a => !document.querySelector(a.hash)).length");
        assert_eq!(anchors, 0, "links that lead nowhere");
    }
}

#[test]
fn runs_stand_side_by_side() {
    let folder = tempfile::tempdir().unwrap();
    let (first, out): (PathBuf, PathBuf) = (train_small(folder.path()), folder.path().join("comparison"));
    let second = folder.path().join("second");
    let recipe = text(&folder.path().join("recipe.toml")).to_owned();
    let other = ["--set", "name=finer", "--set", "tokenizer.quantizer.codebook_size=8"];
    succeed(&[&["train", &recipe, "--run", text(&second)], &other[..]].concat());
    let table = succeed(&["evaluate", text(&first), text(&second), "-o", text(&out)]);
    assert!(table.starts_with("|  | small | finer |"), "{table}");
    assert!(table.contains("| bits per pixel, fixed | 0.250 | 0.188 |"), "{table}");
    let json: Value = serde_json::from_slice(&fs::read(out.join("comparison.json")).unwrap()).unwrap();
    assert_eq!(json["runs"][1]["metrics"]["levels"][0]["codes"], 8);
    assert_eq!(json["runs"][0]["metrics"]["protocol"]["name"], "vqkit-validation-1");

    let Some(browser) = browser() else { return };
    for width in [1200, 390] {
        let page = Opened::new(&browser, &out.join("comparison.html"), width);
        page.check(&format!("comparison, {width} pixels"));
        let body = page.ask("document.body.textContent").as_str().unwrap().to_owned();
        assert!(body.contains("finer") && body.contains("Rate and distortion"), "{body}");
    }
}
