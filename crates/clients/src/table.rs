//! Tables of text, as `--format`, `--data` and their kin shape them. Shared by all clients of databases.

use std::io::{self, Write};
use std::time::SystemTime;

use serde_json::{Value, json};

use crate::fatal::{Fatal, fail};
use crate::options::Given;
use crate::{json, log};

/// How a table is laid out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Columns side by side.
    #[default]
    Table,
    /// A line for each cell.
    List,
    /// An HTML table.
    Html,
    /// Comma-separated values (RFC 4180).
    Csv,
    /// One JSON object.
    Json,
}

/// How a cell is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Data {
    /// As commands of a database read it.
    #[default]
    String,
    /// Without quotation marks and brackets.
    Bare,
    /// As RFC 7047 has it.
    Json,
}

/// What shapes a table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Style {
    /// Its layout.
    pub format: Format,
    /// Its cells.
    pub data: Data,
    /// Whether columns have headings.
    pub headings: bool,
    /// Whether JSON is indented.
    pub pretty: bool,
    /// Most letters of a column of [`Format::Table`]; 0 for any number.
    pub max_width: usize,
}

impl Style {
    /// A style of this format, with all else as usual.
    pub fn new(format: Format) -> Self {
        Self { format, headings: true, ..Self::default() }
    }

    /// Takes an option; whether it was one of tables.
    ///
    /// # Errors
    /// A format that is not known.
    pub fn take_option(&mut self, given: &Given) -> Result<bool, Fatal> {
        match given.name.as_str() {
            "format" => {
                self.format = match given.text() {
                    "table" => Format::Table,
                    "list" => Format::List,
                    "html" => Format::Html,
                    "csv" => Format::Csv,
                    "json" => Format::Json,
                    other => return fail(format!("unknown output format \"{other}\"")),
                }
            }
            "data" => {
                self.data = match given.text() {
                    "string" => Data::String,
                    "bare" => Data::Bare,
                    "json" => Data::Json,
                    other => return fail(format!("unknown data format \"{other}\"")),
                }
            }
            "no-headings" => self.headings = false,
            "pretty" => self.pretty = true,
            "bare" => (self.format, self.data, self.headings) = (Format::List, Data::Bare, false),
            "max-column-width" => self.max_width = given.text().parse().unwrap_or(0),
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// A cell.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// Words of the program's own, the same in each style.
    Text(String),
    /// A value of a database, in each of the three ways to write it.
    Datum {
        /// [`Data::String`].
        string: String,
        /// [`Data::Bare`].
        bare: String,
        /// [`Data::Json`].
        json: Value,
    },
}

impl Cell {
    /// A JSON value that is written as it is in each style.
    pub fn json(value: Value) -> Self {
        let text = json::compact(&value);
        Self::Datum { string: text.clone(), bare: text, json: value }
    }

    fn text(&self, data: Data) -> String {
        match (self, data) {
            (Self::Text(text), _) => text.clone(),
            (Self::Datum { string, .. }, Data::String) => string.clone(),
            (Self::Datum { bare, .. }, Data::Bare) => bare.clone(),
            (Self::Datum { json, .. }, Data::Json) => json::compact(json),
        }
    }
}

/// A table. Rows are as long as there are columns; cells that a row lacks are empty.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    /// What stands above it.
    pub caption: Option<String>,
    /// When it was true.
    pub time: Option<SystemTime>,
    /// Its columns.
    pub columns: Vec<String>,
    /// Its rows.
    pub rows: Vec<Vec<Cell>>,
}

/// Writes tables one after another, with an empty line between them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Printer {
    begun: bool,
}

impl Printer {
    /// Writes a table.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn print(&mut self, out: &mut dyn Write, table: &Table, style: &Style) -> io::Result<()> {
        let separate = matches!(style.format, Format::Table | Format::List | Format::Csv);
        if separate && self.begun {
            writeln!(out)?;
        }
        self.begun = true;
        if style.format == Format::Json {
            return table.print_json(out, style);
        }
        if let Some(time) = table.time {
            writeln!(out, "{}", log::time_text(time, TIME_FORM))?;
        }
        match style.format {
            Format::Html => return table.print_html(out, style),
            _ => {
                if let Some(caption) = &table.caption {
                    writeln!(out, "{caption}")?;
                }
            }
        }
        match style.format {
            Format::List => table.print_list(out, style),
            Format::Csv => table.print_csv(out, style),
            _ => table.print_table(out, style),
        }
    }
}

const TIME_FORM: &str = "%Y-%m-%d %H:%M:%S.###";

impl Table {
    /// A table of these columns without rows.
    pub fn new(columns: &[&str]) -> Self {
        Self { columns: columns.iter().map(|&name| name.to_owned()).collect(), ..Self::default() }
    }

    fn texts(&self, data: Data) -> Vec<Vec<String>> {
        let row = |row: &Vec<Cell>| -> Vec<String> {
            let cell = |at| row.get(at).map_or_else(String::new, |cell: &Cell| cell.text(data));
            (0..self.columns.len()).map(cell).collect()
        };
        self.rows.iter().map(row).collect()
    }

    fn print_table(&self, out: &mut dyn Write, style: &Style) -> io::Result<()> {
        let mut rows = self.texts(style.data);
        let cut = |text: &mut String| {
            if let Some((at, _)) = text.char_indices().nth(style.max_width).filter(|_| style.max_width > 0) {
                text.truncate(at);
            }
        };
        rows.iter_mut().flatten().for_each(cut);
        let width = |column: usize| {
            let heading = if style.headings { self.columns[column].chars().count() } else { 0 };
            rows.iter().map(|row| row[column].chars().count()).fold(heading, usize::max)
        };
        let widths: Vec<usize> = (0..self.columns.len()).map(width).collect();
        let mut line = |words: &[String]| -> io::Result<()> {
            for (at, (word, width)) in words.iter().zip(&widths).enumerate() {
                let last = at + 1 == widths.len();
                write!(out, "{}{word}", if at > 0 { " " } else { "" })?;
                if !last {
                    write!(out, "{:1$}", "", width - word.chars().count())?;
                }
            }
            writeln!(out)
        };
        if style.headings {
            line(&self.columns)?;
            line(&widths.iter().map(|&width| "-".repeat(width)).collect::<Vec<_>>())?;
        }
        rows.iter().try_for_each(|row| line(row))
    }

    fn print_list(&self, out: &mut dyn Write, style: &Style) -> io::Result<()> {
        for (index, row) in self.texts(style.data).iter().enumerate() {
            if index > 0 {
                writeln!(out)?;
            }
            for (column, text) in self.columns.iter().zip(row) {
                if style.headings {
                    write!(out, "{column:<20}: ")?;
                }
                writeln!(out, "{text}")?;
            }
        }
        Ok(())
    }

    fn print_csv(&self, out: &mut dyn Write, style: &Style) -> io::Result<()> {
        let mut line = |words: &[String]| {
            let words: Vec<String> = words.iter().map(|word| csv(word)).collect();
            writeln!(out, "{}", words.join(","))
        };
        if style.headings {
            line(&self.columns)?;
        }
        self.texts(style.data).iter().try_for_each(|row| line(row))
    }

    fn print_html(&self, out: &mut dyn Write, style: &Style) -> io::Result<()> {
        writeln!(out, "<table border=1>")?;
        if let Some(caption) = &self.caption {
            writeln!(out, "    <caption>{}</caption>", escape(caption))?;
        }
        if style.headings {
            writeln!(out, "  <tr>")?;
            for column in &self.columns {
                writeln!(out, "    <th>{}</th>", escape(column))?;
            }
            writeln!(out, "  </tr>")?;
        }
        for row in self.texts(style.data) {
            writeln!(out, "  <tr>")?;
            for (column, text) in self.columns.iter().zip(row) {
                writeln!(out, "    <td>{}</td>", html_cell(column, &text))?;
            }
            writeln!(out, "  </tr>")?;
        }
        writeln!(out, "</table>")
    }

    fn print_json(&self, out: &mut dyn Write, style: &Style) -> io::Result<()> {
        let cell = |cell: &Cell| match cell {
            Cell::Text(text) => json!(text),
            Cell::Datum { json, .. } => json.clone(),
        };
        let row = |row: &Vec<Cell>| -> Value {
            (0..self.columns.len()).map(|at| row.get(at).map_or_else(|| json!(""), cell)).collect()
        };
        let mut object =
            json!({ "headings": self.columns, "data": self.rows.iter().map(row).collect::<Vec<_>>() });
        if let Some(caption) = &self.caption {
            object["caption"] = json!(caption);
        }
        if let Some(time) = self.time {
            object["time"] = json!(log::time_text(time, TIME_FORM));
        }
        writeln!(out, "{}", if style.pretty { json::pretty(&object) } else { json::compact(&object) })
    }
}

/// A field of RFC 4180: quoted where it holds a separator or a quotation mark.
fn csv(text: &str) -> String {
    if text.contains(['"', ',', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Row ids become links, and the one in the column of ids the link's end.
fn html_cell(column: &str, text: &str) -> String {
    let (mut out, mut left) = (String::new(), text);
    let attribute = if column == "_uuid" { ("name", "") } else { ("href", "#") };
    while !left.is_empty() {
        if let Some(uuid) = left.get(..UUID_LEN).filter(|text| is_uuid(text)) {
            out += &format!("<a {}=\"{}{uuid}\">{}</a>", attribute.0, attribute.1, &uuid[..8]);
            left = &left[UUID_LEN..];
            continue;
        }
        let next = left.chars().next().map_or(left.len(), char::len_utf8);
        out += &escape(&left[..next]);
        left = &left[next..];
    }
    out
}

const UUID_LEN: usize = 36;

/// Whether text has the form of a row's id.
pub fn is_uuid(text: &str) -> bool {
    let form = |(at, byte): (usize, u8)| match at {
        8 | 13 | 18 | 23 => byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    };
    text.len() == UUID_LEN && text.bytes().enumerate().all(form)
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: &str = "30e630fc-87c2-413a-a1ac-8800a03af80c";

    fn table() -> Table {
        let datum =
            |string: &str, bare: &str, json| Cell::Datum { string: string.into(), bare: bare.into(), json };
        Table {
            caption: Some("Bridge table".into()),
            rows: vec![
                vec![
                    Cell::Text("br0".into()),
                    datum("{a=\"b c\"}", "a=b c", json!(["map", [["a", "b c"]]])),
                    datum(UUID, UUID, json!(["uuid", UUID])),
                ],
                vec![Cell::Text("a".into()), Cell::Text(String::new()), Cell::Text("<>".into())],
            ],
            ..Table::new(&["name", "ids", "port"])
        }
    }

    fn print(words: &[(&str, &str)]) -> String {
        let mut style = Style::new(Format::Table);
        for (name, value) in words {
            let given = Given { name: (*name).into(), value: Some((*value).into()) };
            assert_eq!(style.take_option(&given), Ok(true));
        }
        let mut out = Vec::new();
        Printer::default().print(&mut out, &table(), &style).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn each_format_is_written_as_open_vswitch_writes_it() {
        assert_eq!(
            print(&[]),
            format!(
                "Bridge table\nname ids       port\n---- --------- {0}\nbr0  {{a=\"b c\"}} {UUID}\na              <>\n",
                "-".repeat(36)
            )
        );
        assert_eq!(
            print(&[("format", "list"), ("data", "bare")]),
            format!(
                "Bridge table\nname                : br0\nids                 : a=b c\nport                : {UUID}\n\n\
                name                : a\nids                 : \nport                : <>\n"
            )
        );
        assert_eq!(print(&[("bare", "")]), format!("Bridge table\nbr0\na=b c\n{UUID}\n\na\n\n<>\n"));
        assert_eq!(
            print(&[("format", "csv"), ("no-headings", "")]),
            format!("Bridge table\nbr0,\"{{a=\"\"b c\"\"}}\",{UUID}\na,,<>\n")
        );
        assert!(
            print(&[("format", "html")])
                .contains("<td><a href=\"#30e630fc-87c2-413a-a1ac-8800a03af80c\">30e630fc</a></td>")
        );
        assert!(print(&[("format", "html")]).contains("<td>&lt;&gt;</td>"));
        assert_eq!(
            print(&[("format", "json")]),
            format!(
                "{{\"caption\":\"Bridge table\",\"data\":[[\"br0\",[\"map\",[[\"a\",\"b c\"]]],[\"uuid\",\"{UUID}\"]],\
                [\"a\",\"\",\"<>\"]],\"headings\":[\"name\",\"ids\",\"port\"]}}\n"
            )
        );
        assert!(print(&[("data", "json")]).contains("br0  [\"map\",[[\"a\",\"b c\"]]]"));
    }

    #[test]
    fn wide_columns_are_cut_and_tables_stand_apart() {
        assert!(print(&[("max-column-width", "4")]).contains("br0  {a=\" 30e6\n"));
        let (mut out, mut printer) = (Vec::new(), Printer::default());
        let small = Table::new(&["x"]);
        printer.print(&mut out, &small, &Style::new(Format::Csv)).unwrap();
        printer.print(&mut out, &small, &Style::new(Format::Csv)).unwrap();
        assert_eq!(out, b"x\n\nx\n");
    }
}
