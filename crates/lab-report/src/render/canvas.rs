//! Paper, ink and lettering of all plots: sizes, colours, the font, and the two file formats.
//!
//! The font comes from this repository, so a plot has the same bytes on every machine. What a plot
//! shows is decided in the `*_plot` modules.

use std::sync::OnceLock;

use lab_core::outcome::Outcome;
use plotters::{
    coord::Shift,
    drawing::DrawingAreaErrorKind,
    prelude::*,
    style::{
        FontDesc, FontStyle, RGBColor, TextStyle, register_font,
        text_anchor::{HPos, Pos, VPos},
    },
};

use super::{
    RenderError,
    enlarged::{Enlarged, FACTOR},
};

/// Width of every plot, in pixels: what fits a page, a pull request and a README.
pub(super) const WIDTH: u32 = 800;

/// CSS font list. The first is the font of this repository; Arial has the same letter widths, so
/// a viewer that lacks the first lays the text out alike.
const FONT: &str = "Liberation Sans, Arial, Helvetica, sans-serif";
static FONT_FILE: &[u8] = include_bytes!("../../assets/fonts/LiberationSans-Regular.ttf");

/// Almost black, for text and lines that matter.
pub(super) const INK: RGBColor = RGBColor(34, 34, 34);
/// For axis descriptions and notes.
pub(super) const SOFT_INK: RGBColor = RGBColor(95, 95, 95);
/// For grid lines.
pub(super) const GRID: RGBColor = RGBColor(225, 225, 225);
/// Fills the time in which the fault is on.
pub(super) const FAULT_SHADE: RGBColor = RGBColor(250, 228, 214);
/// Fills the warmup, which is in no figure.
pub(super) const WARMUP_SHADE: RGBColor = RGBColor(238, 238, 238);

// The colours of Okabe and Ito (2008), made to be told apart by colour-blind readers.
/// Okabe–Ito blue.
pub(super) const BLUE: RGBColor = RGBColor(0, 114, 178);
/// Okabe–Ito sky blue.
pub(super) const SKY: RGBColor = RGBColor(86, 180, 233);
/// Okabe–Ito bluish green.
pub(super) const GREEN: RGBColor = RGBColor(0, 158, 115);
/// Okabe–Ito yellow.
const YELLOW: RGBColor = RGBColor(240, 228, 66);
/// Okabe–Ito orange.
pub(super) const ORANGE: RGBColor = RGBColor(230, 159, 0);
/// Okabe–Ito vermillion.
pub(super) const VERMILLION: RGBColor = RGBColor(213, 94, 0);
/// Okabe–Ito reddish purple.
pub(super) const PURPLE: RGBColor = RGBColor(204, 121, 167);
/// Neutral grey, for what was never sent.
const GREY: RGBColor = RGBColor(150, 150, 150);

/// The error of the backend that was drawn on.
pub(super) type DrawError<DB> = DrawingAreaErrorKind<<DB as DrawingBackend>::ErrorType>;

/// What a drawing step returns.
pub(super) type DrawResult<DB> = Result<(), DrawError<DB>>;

/// The whole picture, or a part of it, in pixels.
pub(super) type Sheet<DB> = DrawingArea<DB, Shift>;

/// A picture that can be drawn in either file format.
pub(super) trait Plot {
    /// What the picture is, in one line, for readers who cannot see it.
    fn description(&self) -> String;
    /// Height in pixels; the width is [`WIDTH`].
    fn height(&self) -> u32;
    /// Draws on a white sheet. **Errors**: those of the backend.
    fn draw<DB: DrawingBackend>(&self, sheet: &Sheet<DB>) -> DrawResult<DB>;
}

/// Draws as SVG. **Errors**: [`RenderError::Plot`].
pub(super) fn svg(plot: &impl Plot) -> Result<String, RenderError> {
    use_own_font();
    let mut text = String::new();
    {
        let sheet = SVGBackend::with_string(&mut text, (WIDTH, plot.height())).into_drawing_area();
        paint(plot, &sheet)?;
    }
    let title = format!("<title>{}</title>\n", super::html::escape(&plot.description()));
    let head_end = text.find(">\n").map_or(text.len(), |at| at + 2);
    text.insert_str(head_end, &title);
    let head = format!("<svg role=\"img\" font-family=\"{FONT}\" ");
    Ok(slim(&text).replacen("<svg ", &head, 1))
}

/// `svg` without what it need not say: attributes at their defaults, the font that the whole picture
/// has, and lengths to more than a tenth of a pixel. A page of many plots is a fifth smaller for it.
fn slim(svg: &str) -> String {
    let font = format!(" font-family=\"{FONT}\"");
    let mut slim = String::with_capacity(svg.len());
    for (k, part) in svg.split(" font-size=\"").enumerate() {
        let rest = match (k, part.split_once('"')) {
            (0, _) | (_, None) => part,
            (_, Some((size, rest))) => {
                let size: f64 = size.parse().expect("plotters writes sizes as numbers");
                slim.push_str(&format!(" font-size=\"{size:.1}\""));
                rest
            }
        };
        slim.push_str(rest);
    }
    let defaults =
        [" opacity=\"1\"", " stroke-width=\"1\"", " stroke=\"none\"", " text-anchor=\"start\""];
    defaults.iter().fold(slim.replace(&font, ""), |svg, it| svg.replace(it, ""))
}

/// Draws as PNG, [`FACTOR`] times as large. **Errors**: [`RenderError::Plot`], [`RenderError::Png`].
pub(super) fn png(plot: &impl Plot) -> Result<Vec<u8>, RenderError> {
    use_own_font();
    let (width, height) = (WIDTH * FACTOR, plot.height() * FACTOR);
    let mut pixels = vec![0; usize_of(width) * usize_of(height) * 3];
    {
        let bitmap = BitMapBackend::with_buffer(&mut pixels, (width, height));
        paint(plot, &Enlarged::new(bitmap).into_drawing_area())?;
    }
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_compression(png::Compression::Best);
    encoder.write_header()?.write_image_data(&pixels)?;
    Ok(bytes)
}

fn paint<DB: DrawingBackend>(plot: &impl Plot, sheet: &Sheet<DB>) -> Result<(), RenderError> {
    let draw = || {
        sheet.fill(&WHITE)?;
        plot.draw(sheet)?;
        sheet.present()
    };
    draw().map_err(|error: DrawingAreaErrorKind<DB::ErrorType>| RenderError::Plot {
        plot: plot.description(),
        reason: error.to_string(),
    })
}

fn use_own_font() {
    static REGISTERED: OnceLock<()> = OnceLock::new();
    REGISTERED.get_or_init(|| {
        let registered = register_font(FONT, FontStyle::Normal, FONT_FILE);
        assert!(registered.is_ok(), "the font in assets/fonts is a font");
    });
}

/// The colour that stands for an outcome in every plot.
pub(super) fn outcome_color(outcome: Outcome) -> RGBColor {
    match outcome {
        Outcome::Success => GREEN,
        Outcome::Degraded => SKY,
        Outcome::Shed => YELLOW,
        Outcome::RateLimited => ORANGE,
        Outcome::NotPermitted => PURPLE,
        Outcome::TimedOut => VERMILLION,
        Outcome::DependencyFailed => INK,
        Outcome::Unsent => GREY,
    }
}

/// Lettering of `size` pixels, anchored at its left edge and vertical centre.
pub(super) fn lettering(size: u32, color: RGBColor) -> TextStyle<'static> {
    anchored(size, color, HPos::Left)
}

/// Lettering of `size` pixels, anchored at `h_pos` and its vertical centre.
pub(super) fn anchored(size: u32, color: RGBColor, h_pos: HPos) -> TextStyle<'static> {
    let font = FontDesc::new(FontFamily::Name(FONT), f64::from(size), FontStyle::Normal);
    TextStyle { font, color: color.to_backend_color(), pos: Pos::new(h_pos, VPos::Center) }
}

/// Width of `text` in lettering of `size` pixels.
pub(super) fn text_width(text: &str, size: u32) -> i32 {
    use_own_font();
    let font = FontDesc::new(FontFamily::Name(FONT), f64::from(size), FontStyle::Normal);
    let (width, _) = font.box_size(text).expect("the font in assets/fonts is registered");
    i32::try_from(width).expect("a line of text is narrower than 2^31 pixels")
}

/// Writes the two lines on top of a plot: what it is, and its circumstances.
pub(super) fn heading<DB: DrawingBackend>(
    sheet: &Sheet<DB>,
    title: &str,
    circumstances: &str,
) -> DrawResult<DB> {
    sheet.draw_text(title, &lettering(22, INK), (14, 20))?;
    sheet.draw_text(circumstances, &lettering(16, SOFT_INK), (14, 43))
}

/// One entry of a legend.
pub(super) struct LegendEntry {
    pub(super) name: String,
    pub(super) color: RGBColor,
}

/// Writes a legend in one line that ends at the right edge `right`, centred at `y`.
pub(super) fn legend<DB: DrawingBackend>(
    sheet: &Sheet<DB>,
    entries: &[LegendEntry],
    (right, y): (i32, i32),
) -> DrawResult<DB> {
    const SIZE: u32 = 15;
    let mut x = right;
    let width: i32 = entries.iter().map(|it| text_width(&it.name, SIZE) + 32).sum();
    blank(sheet, (right - width, right), y)?;
    for entry in entries.iter().rev() {
        x -= text_width(&entry.name, SIZE);
        sheet.draw_text(&entry.name, &lettering(SIZE, INK), (x, y))?;
        x -= 18;
        sheet.draw(&Rectangle::new([(x, y - 6), (x + 12, y + 6)], entry.color.filled()))?;
        x -= 14;
    }
    Ok(())
}

/// Whitens a line of text, so that nothing runs through what is written there next.
pub(super) fn blank<DB: DrawingBackend>(
    sheet: &Sheet<DB>,
    (from, to): (i32, i32),
    y: i32,
) -> DrawResult<DB> {
    sheet.draw(&Rectangle::new([(from - 2, y - 8), (to + 2, y + 8)], WHITE.filled()))
}

fn usize_of(n: u32) -> usize {
    usize::try_from(n).expect("a u32 fits in usize on every supported machine")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slim_picture_says_the_same() {
        let fat = format!(
            "<svg width=\"8\">\n<text x=\"1\" font-family=\"{FONT}\" font-size=\"17.741935\" \
             text-anchor=\"start\" opacity=\"1\" fill=\"#222222\">\nsay \u{201c}1\u{201d}\n</text>\n\
             <rect opacity=\"0.5\" stroke-width=\"1\" stroke=\"none\"/>\n<rect stroke-width=\"12\"/>\n</svg>"
        );
        let want = "<svg width=\"8\">\n<text x=\"1\" font-size=\"17.7\" fill=\"#222222\">\nsay \
                    \u{201c}1\u{201d}\n</text>\n<rect opacity=\"0.5\"/>\n\
                    <rect stroke-width=\"12\"/>\n</svg>";
        assert_eq!(slim(&fat), want);
    }
}
