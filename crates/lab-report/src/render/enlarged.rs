//! A bitmap on which everything is drawn larger than asked for, so that a plot laid out for 800
//! pixels is sharp on screens that have more.

use plotters::{
    backend::BitMapBackend,
    prelude::{DrawingBackend, IntoFont, TextStyle},
    style::{RGBAColor, ShapeStyle},
};
use plotters_backend::{
    BackendColor, BackendCoord, BackendStyle, BackendTextStyle, DrawingErrorKind,
};

/// Bitmap pixels for one pixel of the layout. Chosen: what dense screens have.
pub(super) const FACTOR: u32 = 2;

/// Draws on a bitmap that is [`FACTOR`] times as wide and as high as it says.
pub(super) struct Enlarged<'a> {
    bitmap: BitMapBackend<'a>,
}

type Result<'a> =
    std::result::Result<(), DrawingErrorKind<<BitMapBackend<'a> as DrawingBackend>::ErrorType>>;

impl<'a> Enlarged<'a> {
    /// Wraps a bitmap whose sides are multiples of [`FACTOR`].
    pub(super) fn new(bitmap: BitMapBackend<'a>) -> Self {
        Self { bitmap }
    }
}

fn large((x, y): BackendCoord) -> BackendCoord {
    let factor = FACTOR.cast_signed();
    (x * factor, y * factor)
}

fn large_style(style: &impl BackendStyle) -> ShapeStyle {
    let BackendColor { rgb: (r, g, b), alpha } = style.color();
    let color = RGBAColor(r, g, b, alpha);
    ShapeStyle { color, filled: true, stroke_width: style.stroke_width() * FACTOR }
}

impl<'a> DrawingBackend for Enlarged<'a> {
    type ErrorType = <BitMapBackend<'a> as DrawingBackend>::ErrorType;

    fn get_size(&self) -> (u32, u32) {
        let (width, height) = self.bitmap.get_size();
        (width / FACTOR, height / FACTOR)
    }

    fn ensure_prepared(&mut self) -> Result<'a> {
        self.bitmap.ensure_prepared()
    }

    fn present(&mut self) -> Result<'a> {
        self.bitmap.present()
    }

    fn draw_pixel(&mut self, point: BackendCoord, color: BackendColor) -> Result<'a> {
        let (x, y) = large(point);
        let last = FACTOR.cast_signed() - 1;
        self.bitmap.draw_rect((x, y), (x + last, y + last), &color, true)
    }

    fn draw_line<S: BackendStyle>(
        &mut self,
        from: BackendCoord,
        to: BackendCoord,
        style: &S,
    ) -> Result<'a> {
        self.bitmap.draw_line(large(from), large(to), &large_style(style))
    }

    fn draw_rect<S: BackendStyle>(
        &mut self,
        upper_left: BackendCoord,
        bottom_right: BackendCoord,
        style: &S,
        fill: bool,
    ) -> Result<'a> {
        self.bitmap.draw_rect(large(upper_left), large(bottom_right), &large_style(style), fill)
    }

    fn draw_path<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(
        &mut self,
        path: I,
        style: &S,
    ) -> Result<'a> {
        self.bitmap.draw_path(path.into_iter().map(large), &large_style(style))
    }

    fn draw_circle<S: BackendStyle>(
        &mut self,
        center: BackendCoord,
        radius: u32,
        style: &S,
        fill: bool,
    ) -> Result<'a> {
        self.bitmap.draw_circle(large(center), radius * FACTOR, &large_style(style), fill)
    }

    fn fill_polygon<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(
        &mut self,
        vertices: I,
        style: &S,
    ) -> Result<'a> {
        self.bitmap.fill_polygon(vertices.into_iter().map(large), &large_style(style))
    }

    fn draw_text<S: BackendTextStyle>(
        &mut self,
        text: &str,
        style: &S,
        position: BackendCoord,
    ) -> Result<'a> {
        let size = style.size() * f64::from(FACTOR);
        let font = (style.family(), size, style.style()).into_font();
        let large_style = TextStyle { font, color: style.color(), pos: style.anchor() };
        self.bitmap.draw_text(text, &large_style, large(position))
    }
}
