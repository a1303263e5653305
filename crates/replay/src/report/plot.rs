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
    /// A place on the x axis that is pointed out, and what it is called.
    pub(super) mark: Option<(f64, String)>,
}

/// What a coordinate is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    pub(super) name: &'static str,
    /// A number of it, for people.
    pub(super) write: fn(f64) -> String,
    /// What its ticks are told in, the greatest unit first.
    pub(super) units: &'static [(f64, &'static str)],
    /// Equal ratios are equally far apart, and there is no 0.
    pub(super) is_log: bool,
}

impl Axis {
    /// One that holds these numbers.
    fn scale(&self, numbers: impl Iterator<Item = f64> + Clone) -> Scale {
        let most = numbers.clone().fold(0.0, f64::max);
        let least = numbers.filter(|it| *it > 0.0).fold(most, f64::min);
        // Numbers that are near one another are no further apart by their ratios.
        if self.is_log && least > 0.0 && most > 4.0 * least {
            Scale::between(least, most)
        } else {
            Scale::up_to(most)
        }
    }

    /// A tick, with as many digits as tell it from the next. All of a linear axis are of one unit.
    fn tick(&self, tick: f64, scale: &Scale) -> String {
        // Of ratios each tick is its own.
        let (most, step) = match scale {
            Scale::Linear { most, step } => (*most, *step),
            Scale::Log { .. } => (tick, tick),
        };
        let is_reached = |(unit, _): &&(f64, &str)| most >= *unit * (1.0 - 1e-9);
        let unit = self.units.iter().find(is_reached).or(self.units.last());
        let (unit, name) = unit.copied().unwrap_or((1.0, ""));
        let digits = (-(step / unit * (1.0 + 1e-9)).log10().floor()).max(0.0);
        format!("{:.*}{name}", digits as usize, tick / unit)
    }
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
const TOP: f64 = 18.0;
const BOTTOM: f64 = 44.0;

impl Plot {
    /// The picture with its title; `None` if there is nothing to be drawn.
    pub(super) fn draw(&self) -> Option<String> {
        let all = || self.series.iter().flat_map(|series| &series.points);
        let is_number = |point: &&(f64, f64)| point.0.is_finite() && point.1.is_finite();
        all().find(is_number)?;
        let numbers = |of: fn(&(f64, f64)) -> f64| all().filter(is_number).map(of);
        let x = self.x.scale(numbers(|it| it.0));
        let y = self.y.scale(numbers(|it| it.1));
        let mut svg = format!(
            "<figure><figcaption>{}</figcaption>{}<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" \
             aria-label=\"{}\">",
            escape(self.title),
            self.legend(),
            escape(self.title)
        );
        self.draw_axes(&x, &y, &mut svg);
        self.draw_mark(&x, &mut svg);
        for (place, series) in self.series.iter().enumerate() {
            self.draw_series(place, series, (&x, &y), &mut svg);
        }
        svg += "</svg></figure>";
        Some(svg)
    }

    /// Which colour is which series; text of the page, for it may need more than a line.
    fn legend(&self) -> String {
        // What nothing is known of is not drawn.
        let drawn = self.series.iter().enumerate().filter(|(_, series)| !series.points.is_empty());
        if self.series.len() < 2 {
            return String::new();
        }
        let named = drawn.map(|(place, series)| {
            let colour = place % COLOURS;
            format!("<span><i class=\"c{colour}\"></i>{}</span>", escape(&series.name))
        });
        format!("<p class=\"legend\">{}</p>", named.collect::<Vec<_>>().join(" "))
    }

    fn draw_mark(&self, x: &Scale, svg: &mut String) {
        let Some((at, name)) = &self.mark else { return };
        let part = x.part(*at);
        if !(0.0..=1.0).contains(&part) {
            return;
        }
        let (place, bottom) = (across(x, *at), HEIGHT - BOTTOM);
        // Away from the nearer edge.
        let anchor = if part > 0.5 { "end" } else { "start" };
        let _ = write!(
            svg,
            "<line class=\"mark\" x1=\"{place:.1}\" y1=\"{TOP}\" x2=\"{place:.1}\" y2=\"{bottom}\"/>\
             <text x=\"{place:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{}</text>",
            TOP - 6.0,
            escape(name)
        );
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
                escape(&self.x.tick(tick, x))
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
                escape(&self.y.tick(tick, y))
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
    }
}

/// How many colours the page has.
const COLOURS: usize = 6;

/// From one round number to another.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Scale {
    /// From 0.
    Linear {
        most: f64,
        step: f64,
    },
    Log {
        least: f64,
        most: f64,
    },
}

/// What round numbers begin with.
const ROUND: [f64; 4] = [1.0, 2.0, 5.0, 10.0];

impl Scale {
    fn up_to(most: f64) -> Self {
        let most = if most > 0.0 { most } else { 1.0 };
        let step = round_up(most / 5.0);
        Self::Linear { most: (most / step * (1.0 - 1e-9)).ceil() * step, step }
    }

    /// Both are above 0.
    fn between(least: f64, most: f64) -> Self {
        Self::Log { least: round_down(least), most: round_up(most) }
    }

    fn ticks(&self) -> Vec<f64> {
        match *self {
            Self::Linear { most, step } => {
                (0..=(most / step).round() as u32).map(|tick| f64::from(tick) * step).collect()
            }
            Self::Log { least, most } => {
                let decades = least.log10().floor() as i32..=most.log10().ceil() as i32;
                // So many that they do not run into one another.
                let starts = if decades.clone().count() > 4 { &ROUND[..1] } else { &ROUND[..3] };
                let all = decades.flat_map(|it| starts.iter().map(move |n| n * 10_f64.powi(it)));
                let holds = |it: &f64| *it >= least * (1.0 - 1e-9) && *it <= most * (1.0 + 1e-9);
                all.filter(holds).collect()
            }
        }
    }

    /// How far along the axis a number is, from 0 to 1.
    fn part(&self, value: f64) -> f64 {
        match *self {
            Self::Linear { most, .. } => value / most,
            Self::Log { least, most } => (value.max(least) / least).ln() / (most / least).ln(),
        }
    }
}

fn round_up(number: f64) -> f64 {
    let power = 10_f64.powf(number.log10().floor());
    let mut rounds = ROUND.into_iter().map(|times| times * power);
    rounds.find(|round| *round >= number * (1.0 - 1e-9)).unwrap_or(10.0 * power)
}

fn round_down(number: f64) -> f64 {
    let power = 10_f64.powf(number.log10().floor());
    let mut rounds = ROUND.into_iter().rev().map(|times| times * power);
    rounds.find(|round| *round <= number * (1.0 + 1e-9)).unwrap_or(power)
}

fn across(x: &Scale, value: f64) -> f64 {
    LEFT + x.part(value) * (WIDTH - LEFT - RIGHT)
}

fn down(y: &Scale, value: f64) -> f64 {
    HEIGHT - BOTTOM - y.part(value) * (HEIGHT - TOP - BOTTOM)
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
            assert!((scale.ticks()[ticks - 1] - end).abs() < 1e-9 * end, "{most}: {scale:?}");
            assert_eq!(scale.ticks().len(), ticks, "{most}");
        }
    }

    #[test]
    fn a_scale_of_ratios_has_round_ends_and_equal_steps_for_equal_ratios() {
        let scale = Scale::between(45_000.0, 3_276_000.0);
        let ticks = [2e4, 5e4, 1e5, 2e5, 5e5, 1e6, 2e6, 5e6];
        assert_eq!(scale, Scale::Log { least: 2e4, most: 5e6 });
        assert_eq!(scale.ticks(), ticks);
        let parts = [2e4, 2e5, 2e6, 5e6, 0.0].map(|it| scale.part(it));
        assert!((parts[1] * 2.0 - parts[2]).abs() < 1e-9, "{parts:?}");
        assert_eq!((parts[0], parts[3], parts[4]), (0.0, 1.0, 0.0));
        assert_eq!(Scale::between(3.0, 2e6).ticks().len(), 6);
    }

    #[test]
    fn ticks_are_no_longer_than_they_must_be() {
        let units: &[(f64, &str)] = &[(1e3, " k"), (1.0, "")];
        let axis = Axis { name: "", write: |it| it.to_string(), units, is_log: true };
        for (most, told) in [
            (20_000.0, &["0 k", "5 k", "10 k", "15 k", "20 k"][..]),
            (1100.0, &["0.0 k", "0.5 k", "1.0 k", "1.5 k"]),
            (3.0, &["0", "1", "2", "3"]),
            (0.2, &["0.00", "0.05", "0.10", "0.15", "0.20"]),
        ] {
            let scale = Scale::up_to(most);
            let ticks = scale.ticks().into_iter().map(|tick| axis.tick(tick, &scale));
            assert_eq!(ticks.collect::<Vec<_>>(), told);
        }
        let scale = axis.scale([0.0, 200.0, 1700.0].into_iter());
        let ticks = scale.ticks().into_iter().map(|tick| axis.tick(tick, &scale));
        assert_eq!(ticks.collect::<Vec<_>>(), ["200", "500", "1 k", "2 k"]);
        let near = axis.scale([100.0, 170.0].into_iter());
        assert_eq!(near, Scale::Linear { most: 200.0, step: 50.0 });
    }

    #[test]
    fn a_plot_has_a_mark_for_each_point_that_is_a_number() {
        let axis =
            Axis { name: "a < b", write: |value| format!("{value}"), units: &[], is_log: false };
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
            mark: Some((1.5, "most".to_owned())),
        };
        let svg = plot.draw().unwrap();
        assert_eq!(svg.matches("<circle").count(), 2);
        assert_eq!(svg.matches("<polyline").count(), 1);
        assert!(svg.contains("a &lt; b") && svg.contains(">most<") && !svg.contains("NaN"));
        assert!(!svg.contains("legend"));
        plot.series = vec![series("", &[])];
        assert_eq!(plot.draw(), None);
    }
}
