//! Columns, and words wrapped to a width. Cells may be painted; they are measured as they show.

use console::{measure_text_width, pad_str};

/// Rows of equal columns. The last column wraps where the terminal ends.
#[derive(Debug, Default)]
pub struct Table {
    rows: Vec<Vec<String>>,
    indent: usize,
}

/// Two blanks between columns are enough to tell them apart without lines.
const GAP: &str = "  ";
/// Narrower than this a last column is not wrapped but left to the terminal.
const WRAP_MIN: usize = 20;

impl Table {
    /// An empty one, each line of which starts with so many blanks.
    #[must_use]
    pub fn indented(indent: usize) -> Self {
        Self { rows: vec![], indent }
    }

    /// Adds a row.
    pub fn row<T: Into<String>>(&mut self, cells: impl IntoIterator<Item = T>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }

    /// The lines, for a terminal of that width or for none.
    #[must_use]
    pub fn render(&self, width: Option<usize>) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let wide = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| measure_text_width(cell)).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(wide).collect();
        let mut text = String::new();
        for row in &self.rows {
            let mut line = " ".repeat(self.indent);
            for (column, cell) in row.iter().enumerate() {
                if column + 1 == row.len() {
                    let room = width.map(|width| width.saturating_sub(measure_text_width(&line)));
                    let indent = measure_text_width(&line);
                    line += &wrap(cell, room).join(&format!("\n{}", " ".repeat(indent)));
                } else {
                    line += &pad_str(cell, widths[column], console::Alignment::Left, None);
                    line += GAP;
                }
            }
            text += line.trim_end();
            text.push('\n');
        }
        text
    }
}

/// Breaks text at blanks so that no line is longer than the room, if there is any to speak of.
/// A word that is longer stays whole: it may be an id that somebody wants to copy.
pub(crate) fn wrap(text: &str, room: Option<usize>) -> Vec<String> {
    let Some(room) = room.filter(|room| *room >= WRAP_MIN) else { return vec![text.to_owned()] };
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let Some(line) = lines.last_mut() else { break };
        if !line.is_empty() && measure_text_width(line) + 1 + measure_text_width(word) > room {
            lines.push(word.to_owned());
        } else {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}
