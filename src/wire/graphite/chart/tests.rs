//! Charts of made-up series: what they hold, that hostile input stays harmless, and that equal input
//! gives equal bytes.

use super::*;
use base::rng::Rng;

const TIMES: TimeText<'static> =
    TimeText { offset_s: &|_| 0, text: &|at, pattern| format!("{pattern}@{at}") };

fn options(pairs: &[(&str, &str)]) -> Result<ChartOptions, OptionError> {
    ChartOptions::read(&|name| {
        pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
    })
}

fn series(name: &str, values: &[Option<f64>]) -> ChartSeries {
    ChartSeries {
        name: name.to_owned(),
        start: 0,
        step: 60,
        values: values.to_vec(),
        look: Look::default(),
    }
}

fn svg(series: &[ChartSeries], pairs: &[(&str, &str)]) -> String {
    to_svg(&line_chart(series, (0, 600), &options(pairs).unwrap(), &TIMES))
}

fn ramp(count: usize) -> Vec<Option<f64>> {
    (0..count).map(|value| Some(value as f64)).collect()
}

#[test]
fn a_chart_has_title_legend_axes_and_lines() {
    let text = svg(
        &[series("a<b>&\"c\"", &ramp(10)), series("second", &[Some(1.0), None, Some(2.0)])],
        &[("title", "Load"), ("vtitle", "per second"), ("width", "400")],
    );
    for part in [
        "width=\"400\" height=\"250\"",
        ">Load<",
        "rotate(-90",
        "a&lt;b&gt;&amp;&quot;c&quot;",
        ">second<",
        "stroke=\"#6464ff\"",
    ] {
        assert!(text.contains(part), "{part} is missing:\n{text}");
    }
    assert_eq!(
        text,
        svg(
            &[series("a<b>&\"c\"", &ramp(10)), series("second", &[Some(1.0), None, Some(2.0)])],
            &[("title", "Load"), ("vtitle", "per second"), ("width", "400")],
        )
    );
}

#[test]
fn parts_can_be_hidden() {
    let all = [series("visible", &ramp(10))];
    assert!(!svg(&all, &[("hideLegend", "true")]).contains("visible"));
    assert!(!svg(&all, &[("graphOnly", "1")]).contains("<text"));
    assert!(!svg(&all, &[("hideAxes", "true"), ("hideLegend", "1")]).contains("<text"));
    let many: Vec<ChartSeries> = (0..11).map(|n| series(&format!("s{n}"), &ramp(3))).collect();
    assert!(!svg(&many, &[]).contains("s10"));
    assert!(svg(&many, &[("hideLegend", "false"), ("height", "500")]).contains("s10"));
    let twice = [series("same", &ramp(3)), series("same", &ramp(4))];
    assert_eq!(svg(&twice, &[("uniqueLegend", "true")]).matches(">same<").count(), 1);
    assert!(svg(&[], &[]).contains("No Data"));
}

#[test]
fn gaps_end_lines_unless_they_are_connected() {
    let gappy = [series("g", &[Some(1.0), Some(2.0), None, Some(3.0), Some(4.0)])];
    let lines = |pairs: &[(&str, &str)]| {
        svg(&gappy, pairs)
            .lines()
            .filter(|l| l.contains("#6464ff") && l.contains("polyline"))
            .count()
    };
    assert_eq!(lines(&[]), 2);
    assert_eq!(lines(&[("lineMode", "connected")]), 1);
    assert_eq!(lines(&[("lineMode", "connected"), ("connectedLimit", "0")]), 2);
    assert_eq!(lines(&[("drawNullAsZero", "true")]), 1);
    assert_eq!(lines(&[("lineMode", "staircase")]), 2);
}

#[test]
fn stacks_stand_on_each_other() {
    let both = [series("a", &[Some(1.0); 4]), series("b", &[Some(3.0); 4])];
    let areas = |series: &[ChartSeries], mode: &str| {
        let options = options(&[("areaMode", mode), ("yMin", "0")]).unwrap();
        let shapes = line_chart(series, (0, 180), &options, &TIMES).shapes.into_iter();
        let area = |shape| match shape {
            scene::Shape::Area { points, .. } => Some(points),
            _ => None,
        };
        shapes.filter_map(area).collect::<Vec<_>>()
    };
    let stacked = areas(&both, "stacked");
    let highest = |points: &[(f64, f64)]| points.iter().map(|p| p.1).fold(f64::MAX, f64::min);
    assert_eq!(stacked.len(), 2);
    assert!(highest(&stacked[1]) < highest(&stacked[0]), "the second stands higher: {stacked:?}");
    // The function of that name has piled them up before they get here.
    let mut piled = [series("a", &[Some(1.0); 4]), series("b", &[Some(4.0); 4])];
    piled.iter_mut().for_each(|one| one.look.stacked = true);
    assert_eq!(areas(&piled, "none"), stacked);
}

#[test]
fn sizes_and_words_are_checked() {
    assert!(options(&[("width", "100000")]).is_err());
    assert!(options(&[("width", "8000"), ("height", "8000")]).is_err());
    assert!(options(&[("height", "0")]).is_err());
    assert!(options(&[("lineMode", "zigzag")]).is_err());
    assert!(options(&[("areaMode", "some")]).is_err());
}

#[test]
fn pixels_are_painted() {
    let scene = line_chart(&[series("a", &ramp(10))], (0, 600), &options(&[]).unwrap(), &TIMES);
    let png = to_png(&scene).unwrap();
    assert_eq!(&png[..8], b"\x89PNG\r\n\x1a\n");
    assert_eq!(&png[16..24], &[0, 0, 1, 74, 0, 0, 0, 250]);
    let pie = pie_chart(&[("a".into(), 1.0), ("b".into(), 3.0)], &options(&[]).unwrap());
    assert!(to_svg(&pie).contains(">75%<"));
    assert!(to_png(&pie).unwrap().len() > 1000);
}

#[test]
fn any_values_and_parameters_give_a_picture() {
    let mut rng = Rng::new(11);
    let odd = [f64::NAN, f64::INFINITY, -1e308, 1e308, 0.0, 1e-320, -5.0, 7.0];
    let words = ["0", "-1", "1e308", "nan", "x", "2", "red", "#12", "e", "true", "", "5000"];
    let names = [
        "width",
        "height",
        "margin",
        "fontSize",
        "lineWidth",
        "yMin",
        "yMax",
        "yStep",
        "yLimit",
        "logBase",
        "minorY",
        "areaAlpha",
        "colorList",
        "bgcolor",
        "xFormat",
        "drawNullAsZero",
        "connectedLimit",
        "yMaxRight",
        "min",
        "template",
    ];
    for _ in 0..25 {
        let mut pairs =
            vec![("areaMode", ["none", "first", "all", "stacked"][rng.below(4) as usize])];
        for name in names {
            if rng.one_in(4) {
                pairs.push((name, words[rng.below(words.len() as u64) as usize]));
            }
        }
        let Ok(options) = options(&pairs) else { continue };
        let all: Vec<ChartSeries> = (0..rng.below(4))
            .map(|_| {
                let mut one = series(
                    "x",
                    &(0..rng.below(8))
                        .map(|_| Some(odd[rng.below(8) as usize]).filter(|_| !rng.one_in(4)))
                        .collect::<Vec<_>>(),
                );
                one.look.second_axis = rng.one_in(3);
                one.look.is_infinite = rng.one_in(5);
                one.look.dashed = rng.one_in(3).then_some(odd[rng.below(8) as usize]);
                one.look.alpha = rng.one_in(3).then_some(odd[rng.below(8) as usize]);
                one
            })
            .collect();
        let scene = line_chart(&all, (0, rng.below(1 << 40) as i64), &options, &TIMES);
        assert!(to_svg(&scene).ends_with("</svg>\n"));
        assert!(to_png(&scene).is_some());
        to_svg(&pie_chart(&[("a".into(), odd[rng.below(8) as usize])], &options));
    }
}
