use std::fmt::Write as _;

use super::html::escape;

/// Points in a plane, drawn as SVG.
#[derive(Clone, Debug)]
pub(super) struct Plot {
    pub(super) title: &'static str,
    pub(super) x: Axis,
    pub(super) y: Axis,
    /// Joined by lines, in their order; else dots.
    pub(super) is_line: bool,
    pub(super) series: Vec<Series>,
}

/// What a coordinate is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    pub(super) name: &'static str,
    /// A number of it, for people.
    pub(super) write: fn(f64) -> String,
}

/// Points of one colour.
#[derive(Clone, Debug)]
pub(super) struct Series {
    pub(super) name: String,
    pub(super) points: Vec<(f64, f64)>,
}

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 80.0;
const RIGHT: f64 = 36.0;
const TOP: f64 = 16.0;
const BOTTOM: f64 = 44.0;

impl Plot {
    /// The picture with its title; `None` if there is nothing to be drawn.
    pub(super) fn draw(&self) -> Option<String> {
        let all = || self.series.iter().flat_map(|series| &series.points);
        let is_number = |point: &&(f64, f64)| point.0.is_finite() && point.1.is_finite();
        all().find(is_number)?;
        let most = |of: fn(&(f64, f64)) -> f64| all().filter(is_number).map(of).fold(0.0, f64::max);
        let (x, y) = (Scale::up_to(most(|it| it.0)), Scale::up_to(most(|it| it.1)));
        let mut svg = format!(
            "<figure><figcaption>{}</figcaption><svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" \
             aria-label=\"{}\">",
            escape(self.title),
            escape(self.title)
        );
        self.draw_axes(&x, &y, &mut svg);
        for (place, series) in self.series.iter().enumerate() {
            self.draw_series(place, series, (&x, &y), &mut svg);
        }
        svg += "</svg></figure>";
        Some(svg)
    }

    fn draw_axes(&self, x: &Scale, y: &Scale, svg: &mut String) {
        let (bottom, right) = (HEIGHT - BOTTOM, WIDTH - RIGHT);
        for tick in x.ticks() {
            let at = across(x, tick);
            let _ = write!(
                svg,
                "<line class=\"grid\" x1=\"{at:.1}\" y1=\"{TOP}\" x2=\"{at:.1}\" y2=\"{bottom}\"/>\
                 <text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
                bottom + 16.0,
                escape(&(self.x.write)(tick))
            );
        }
        for tick in y.ticks() {
            let at = down(y, tick);
            let _ = write!(
                svg,
                "<line class=\"grid\" x1=\"{LEFT}\" y1=\"{at:.1}\" x2=\"{right}\" y2=\"{at:.1}\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                LEFT - 6.0,
                at + 4.0,
                escape(&(self.y.write)(tick))
            );
        }
        let _ = write!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>\
             <text transform=\"translate(14 {:.1}) rotate(-90)\" text-anchor=\"middle\">{}</text>",
            f64::midpoint(LEFT, right),
            HEIGHT - 6.0,
            escape(self.x.name),
            f64::midpoint(TOP, bottom),
            escape(self.y.name)
        );
    }

    fn draw_series(
        &self,
        place: usize,
        series: &Series,
        (x, y): (&Scale, &Scale),
        svg: &mut String,
    ) {
        let colour = place % COLOURS;
        let points = series.points.iter().filter(|it| it.0.is_finite() && it.1.is_finite());
        if self.is_line {
            let path: Vec<String> = points
                .clone()
                .map(|point| format!("{:.1},{:.1}", across(x, point.0), down(y, point.1)))
                .collect();
            let _ = write!(svg, "<polyline class=\"c{colour}\" points=\"{}\"/>", path.join(" "));
        }
        for point in points {
            let _ = write!(
                svg,
                "<circle class=\"c{colour}\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"3\"><title>{}{}, \
                 {}</title></circle>",
                across(x, point.0),
                down(y, point.1),
                if series.name.is_empty() { String::new() } else { escape(&series.name) + ": " },
                escape(&(self.x.write)(point.0)),
                escape(&(self.y.write)(point.1))
            );
        }
        if self.series.len() > 1 {
            let at = LEFT + 10.0 + 120.0 * place as f64;
            let _ = write!(
                svg,
                "<circle class=\"c{colour}\" cx=\"{at:.1}\" cy=\"8\" r=\"3\"/><text x=\"{:.1}\" \
                 y=\"12\">{}</text>",
                at + 8.0,
                escape(&series.name)
            );
        }
    }
}

/// How many colours the page has.
const COLOURS: usize = 6;

/// From 0 to a round number.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Scale {
    most: f64,
    step: f64,
}

impl Scale {
    fn up_to(most: f64) -> Self {
        let most = if most > 0.0 { most } else { 1.0 };
        let rough = most / 5.0;
        let power = 10_f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0]
            .into_iter()
            .map(|times| times * power)
            .find(|step| *step >= rough * (1.0 - 1e-9))
            .unwrap_or(10.0 * power);
        Self { most: (most / step * (1.0 - 1e-9)).ceil() * step, step }
    }

    fn ticks(&self) -> impl Iterator<Item = f64> {
        let Self { most, step } = *self;
        (0..=(most / step).round() as u32).map(move |tick| f64::from(tick) * step)
    }
}

fn across(x: &Scale, value: f64) -> f64 {
    LEFT + value / x.most * (WIDTH - LEFT - RIGHT)
}

fn down(y: &Scale, value: f64) -> f64 {
    HEIGHT - BOTTOM - value / y.most * (HEIGHT - TOP - BOTTOM)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scale_ends_at_a_round_number_and_has_few_ticks() {
        for (most, end, ticks) in
            [(0.0, 1.0, 6), (1.0, 1.0, 6), (7.3, 8.0, 5), (123.0, 150.0, 4), (0.0011, 0.0015, 4)]
        {
            let scale = Scale::up_to(most);
            assert!((scale.most - end).abs() < 1e-9 * end, "{most}: {scale:?}");
            assert_eq!(scale.ticks().count(), ticks, "{most}");
        }
    }

    #[test]
    fn a_plot_has_a_mark_for_each_point_that_is_a_number() {
        let axis = Axis { name: "a < b", write: |value| format!("{value}") };
        let series = |name: &str, points: &[(f64, f64)]| Series {
            name: name.to_owned(),
            points: points.to_vec(),
        };
        let mut plot = Plot {
            title: "T",
            x: axis,
            y: axis,
            is_line: true,
            series: vec![series("", &[(0.0, 0.0), (1.0, f64::NAN), (2.0, 4.0)])],
        };
        let svg = plot.draw().unwrap();
        assert_eq!(svg.matches("<circle").count(), 2);
        assert_eq!(svg.matches("<polyline").count(), 1);
        assert!(svg.contains("a &lt; b") && !svg.contains("NaN"));
        plot.series = vec![series("", &[])];
        assert_eq!(plot.draw(), None);
    }
}
