//! Line charts as SVG, without scripts: one colour a series.

use std::fmt::Write;

/// Pixels of a chart.
const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 240.0;
/// Room for the numbers at the left and below.
const LEFT: f64 = 70.0;
const BELOW: f64 = 34.0;
const ABOVE: f64 = 12.0;
/// Colours that are told apart by those who do not tell red from green, too (Okabe and Ito 2008).
const COLOURS: [&str; 8] =
    ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#777777", "#b2a500"];

/// What is drawn as one line.
pub struct Series {
    /// Its name in the legend.
    pub name: String,
    /// Seconds and values, in order of time.
    pub points: Vec<(f64, f64)>,
}

/// A chart of some series, over what `across` names; `marks` are places on it at which something happened.
#[must_use]
pub fn chart(unit: &str, across: &str, series: &[Series], marks: &[(f64, String)], end: f64) -> String {
    let most = series.iter().flat_map(|series| &series.points).map(|point| point.1).fold(0.0, f64::max);
    let (step, top) = scale(most);
    let (inner_width, inner_height) = (WIDTH - LEFT - 10.0, HEIGHT - BELOW - ABOVE);
    let seconds = if end > 0.0 { end } else { 1.0 };
    let x = |at: f64| LEFT + at / seconds * inner_width;
    let y = |value: f64| ABOVE + inner_height * (1.0 - value / top);
    let mut out =
        format!("<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">", escape(unit));
    for line in 0..=(top / step).round() as u32 {
        let value = f64::from(line) * step;
        let at = y(value);
        let _ = write!(
            out,
            "<line class=\"grid\" x1=\"{LEFT}\" y1=\"{at:.1}\" x2=\"{:.1}\" y2=\"{at:.1}\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            WIDTH - 10.0,
            LEFT - 6.0,
            at + 4.0,
            number(value)
        );
    }
    let (time_step, _) = scale(seconds);
    let mut at = 0.0;
    while at <= seconds + 1e-9 {
        let _ = write!(
            out,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            x(at),
            HEIGHT - BELOW + 16.0,
            number(at)
        );
        at += time_step;
    }
    let _ = write!(
        out,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\
         <text x=\"4\" y=\"10\">{}</text>",
        WIDTH - 10.0,
        HEIGHT - 4.0,
        escape(across),
        escape(unit)
    );
    for (at, what) in marks {
        let at = x(*at);
        let _ = write!(
            out,
            "<line class=\"mark\" x1=\"{at:.1}\" y1=\"{ABOVE}\" x2=\"{at:.1}\" y2=\"{:.1}\">\
             <title>{}</title></line>",
            HEIGHT - BELOW,
            escape(what)
        );
    }
    for (series, colour) in series.iter().zip(COLOURS.iter().cycle()) {
        let points: Vec<String> =
            series.points.iter().map(|(at, value)| format!("{:.1},{:.1}", x(*at), y(*value))).collect();
        let _ = write!(
            out,
            "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.6\" points=\"{}\"><title>{}</title></polyline>",
            points.join(" "),
            escape(&series.name)
        );
    }
    out.push_str("</svg><p class=\"legend\">");
    for (series, colour) in series.iter().zip(COLOURS.iter().cycle()) {
        let _ = write!(out, "<span><i style=\"background:{colour}\"></i>{}</span> ", escape(&series.name));
    }
    out.push_str("</p>");
    out
}

/// The distance of grid lines, and the top of the scale, for values up to `most`.
fn scale(most: f64) -> (f64, f64) {
    let most = if most.is_finite() && most > 0.0 { most } else { 1.0 };
    let power = 10f64.powf((most / 5.0).log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|by| by * power).into_iter().find(|step| most / step <= 5.0);
    let step = step.unwrap_or(10.0 * power);
    (step, (most / step).ceil() * step)
}

/// A number as an axis shows it.
fn number(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Text as HTML and SVG show it.
#[must_use]
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // What a page may not hold.
            letter if letter.is_control() && letter != '\n' && letter != '\t' => out.push('\u{fffd}'),
            letter => out.push(letter),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_have_few_round_steps() {
        for most in [0.0, 0.3, 1.0, 7.0, 94.6, 100.0, 12_345.0, f64::NAN] {
            let (step, top) = scale(most);
            assert!(
                top >= if most.is_nan() { 1.0 } else { most } && top / step <= 5.01,
                "{most}: {step} {top}"
            );
        }
    }

    #[test]
    fn hostile_names_stay_text() {
        let series = Series { name: "</svg><script>".into(), points: vec![(0.0, 1.0), (1.0, 2.0)] };
        let drawn = chart("Mbit/s", "seconds", &[series], &[(0.5, "a \" b".into())], 1.0);
        assert!(!drawn.contains("<script") && drawn.contains("&lt;script&gt;") && drawn.contains("polyline"));
    }
}
