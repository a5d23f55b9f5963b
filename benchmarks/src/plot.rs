//! The results as a picture: an SVG that is written by hand and needs no font of its own.

use std::fmt::Write as _;

use raftify_load::Figures;

use crate::peers::{self, PeerKey};
use crate::report::{thousands, time};
use crate::row::{Group, Row, RowPace, Way};
use crate::suite::{Measured, Results};
use raftify_load::figures;

const WIDTH: f64 = 1120.0;
const LABELS_WIDTH: f64 = 440.0;
const BARS_WIDTH: f64 = 420.0;
const BAR_HEIGHT: f64 = 20.0;
const PANEL_GAP: f64 = 64.0;
/// Between the title of a panel and its first bar.
const TITLE_GAP: f64 = 12.0;
const TOP: f64 = 76.0;

/// What a bar stands for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The machine alone: what nobody can be faster than.
    Floor,
    Ours,
    Other,
}

impl Kind {
    fn color(self) -> &'static str {
        match self {
            Self::Floor => "#9aa0a6",
            Self::Ours => "#1a73e8",
            Self::Other => "#e8710a",
        }
    }
}

struct Bar {
    label: String,
    kind: Kind,
    durable: bool,
    value: f64,
    text: String,
}

struct Panel {
    title: String,
    bars: Vec<Bar>,
}

/// The picture; `machine` is the line under its title.
pub(crate) fn svg(machine: &str, measured: &Measured) -> String {
    let panels: Vec<Panel> = panels(measured)
        .into_iter()
        .filter(|panel| !panel.bars.is_empty())
        .collect();
    let bars: usize = panels.iter().map(|panel| panel.bars.len()).sum();
    let height =
        TOP + panels.len() as f64 * (PANEL_GAP + TITLE_GAP) + bars as f64 * BAR_HEIGHT + 20.0;
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
         viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
         <text x=\"20\" y=\"30\" font-size=\"20\" font-weight=\"bold\">raftify: benchmarks</text>\n\
         <text x=\"20\" y=\"50\" fill=\"#5f6368\">{}; scales are logarithmic; a pale bar is not \
         durable</text>\n",
        escaped(machine)
    );
    legend(&mut text);
    let mut y = TOP;
    for panel in &panels {
        y = draw(&mut text, panel, y);
    }
    text.push_str("</svg>\n");
    text
}

fn legend(text: &mut String) {
    let kinds = [
        (Kind::Ours, "raftify"),
        (Kind::Other, "others"),
        (Kind::Floor, "the machine alone"),
    ];
    for (position, (kind, name)) in kinds.into_iter().enumerate() {
        let x = 760.0 + 110.0 * position as f64;
        writeln!(
            text,
            "<rect x=\"{x}\" y=\"20\" width=\"12\" height=\"12\" fill=\"{}\"/>\
             <text x=\"{}\" y=\"30\">{name}</text>",
            kind.color(),
            x + 18.0
        )
        .ok();
    }
}

/// Draws one panel from `y` downwards; says where the next begins.
fn draw(text: &mut String, panel: &Panel, y: f64) -> f64 {
    let values = panel.bars.iter().map(|bar| bar.value.max(1e-3));
    let least = values.clone().fold(f64::INFINITY, f64::min);
    let most = values.fold(0.0, f64::max);
    let (low, high) = (least.log10().floor(), most.log10().ceil());
    let place = |value: f64| (value.max(1e-3).log10() - low) / (high - low).max(1.0) * BARS_WIDTH;
    let mut y = y + PANEL_GAP / 2.0;
    writeln!(
        text,
        "<text x=\"20\" y=\"{y}\" font-size=\"15\" font-weight=\"bold\">{}</text>",
        escaped(&panel.title)
    )
    .ok();
    y += TITLE_GAP;
    let bottom = y + panel.bars.len() as f64 * BAR_HEIGHT;
    for step in 0..=((high - low) as i32) {
        let x = LABELS_WIDTH + place(10f64.powf(low + f64::from(step)));
        writeln!(
            text,
            "<line x1=\"{x:.1}\" y1=\"{y:.1}\" x2=\"{x:.1}\" y2=\"{bottom:.1}\" stroke=\"#e8eaed\"/>"
        )
        .ok();
    }
    for bar in &panel.bars {
        let (opacity, width) = (
            if bar.durable { 1.0 } else { 0.45 },
            place(bar.value).max(1.0),
        );
        writeln!(
            text,
            "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\
             <rect x=\"{LABELS_WIDTH}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"14\" fill=\"{}\" \
             fill-opacity=\"{opacity}\"/><text x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            LABELS_WIDTH - 8.0,
            y + 14.0,
            escaped(&bar.label),
            y + 3.0,
            bar.kind.color(),
            LABELS_WIDTH + width + 6.0,
            y + 14.0,
            escaped(&bar.text)
        )
        .ok();
        y += BAR_HEIGHT;
    }
    y + PANEL_GAP / 2.0
}

fn panels(measured: &Measured) -> Vec<Panel> {
    let writes = |title, clients, show| panel(title, measured, clients, is_write, show);
    vec![
        writes("Writes a second, 64 bytes, 256 callers", 256, rate),
        writes("Writes a second, 64 bytes, 64 callers", 64, rate),
        writes(
            "One caller, 64 bytes: half of all writes take at most",
            1,
            median,
        ),
        open_panel(&measured.rows),
        panel(
            "Linearizable reads a second, 256 callers",
            measured,
            256,
            is_read,
            rate,
        ),
    ]
}

/// What a row of ours is in a panel, if it is in it.
type Pick = fn(Group, Way) -> Option<Kind>;

fn is_write(group: Group, way: Way) -> Option<Kind> {
    match (group, way) {
        (Group::Echo, Way::Unary | Way::Stream)
        | (Group::Disk, Way::Preallocated | Way::Growing) => Some(Kind::Floor),
        (_, Way::Propose | Way::UnaryPropose | Way::StreamPropose) => Some(Kind::Ours),
        (_, _) => None,
    }
}

fn is_read(group: Group, way: Way) -> Option<Kind> {
    match (group, way) {
        (Group::Echo, Way::Unary) => Some(Kind::Floor),
        (_, Way::Read | Way::UnaryRead | Way::StreamRead) => Some(Kind::Ours),
        (_, _) => None,
    }
}

type Show = fn(&Figures) -> (f64, String);

fn rate(figures: &Figures) -> (f64, String) {
    let p99 = time(figures.p99_us);
    let text = format!("{} /s, p99 {p99}", thousands(figures.per_second));
    (figures.per_second, text)
}

fn median(figures: &Figures) -> (f64, String) {
    let text = format!("{}, p99 {}", time(figures.p50_us), time(figures.p99_us));
    (figures.p50_us, text)
}

fn panel(title: &str, measured: &Measured, clients: usize, pick: Pick, show: Show) -> Panel {
    let mut bars = Vec::new();
    for (row, all) in &measured.rows {
        let is_small = row.bytes == 64 || row.group == Group::Disk;
        if row.pace != RowPace::Closed || row.clients != clients || !is_small {
            continue;
        }
        if let (Some(kind), Some(figures)) = (pick(row.group, row.way), figures::median(all)) {
            bars.push(our_bar(row, kind, show(&figures)));
        }
    }
    let reads = pick(Group::Memory, Way::Read).is_some();
    let others = peers::medians(&measured.peers);
    bars.extend(
        others
            .iter()
            .filter(|(key, _)| key.clients == clients && key.bytes == 64)
            .filter(|(key, _)| reads == reads_something(key))
            .map(|(key, figures)| their_bar(key, show(figures))),
    );
    Panel {
        title: title.to_owned(),
        bars,
    }
}

fn our_bar(row: &Row, kind: Kind, (value, text): (f64, String)) -> Bar {
    Bar {
        label: format!("{}: {}", row.group.short_title(), row.way.title()),
        kind,
        durable: row.group != Group::Memory,
        value,
        text,
    }
}

fn their_bar(key: &PeerKey, (value, text): (f64, String)) -> Bar {
    // The last part of the setting tells apart what one peer is measured as.
    let setting = key.setting.rsplit(", ").next().unwrap_or_default();
    Bar {
        label: format!("{}, {setting}: {}", key.peer, key.operation),
        kind: Kind::Other,
        durable: key.durability != "none",
        value,
        text,
    }
}

fn reads_something(key: &PeerKey) -> bool {
    key.operation.contains("read") || key.operation.contains("get")
}

/// Latency by rate: what an open loop shows.
fn open_panel(results: &Results) -> Panel {
    let bars = results
        .iter()
        .filter(|(row, _)| row.pace != RowPace::Closed)
        .filter_map(|(row, all)| Some((row, figures::median(all)?)))
        .map(|(row, figures)| {
            let others = format!(
                "p99.9 {} (p50 {}, p99 {})",
                time(figures.p999_us),
                time(figures.p50_us),
                time(figures.p99_us)
            );
            Bar {
                label: format!("{}, {} /s", row.way.title(), thousands(figures.per_second)),
                kind: Kind::Ours,
                durable: true,
                value: figures.p999_us,
                text: others,
            }
        })
        .collect();
    Panel {
        title: "Fixed rates, three processes, 64 bytes: 999 of 1,000 writes take at most".into(),
        bars,
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}
