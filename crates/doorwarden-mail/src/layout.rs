//! A mail as a list of blocks, and what is made of it: plain text here, HTML by a template.

use minijinja::value::Value;

/// The columns of plain text. A longer word, such as a link, has its own line.
const COLUMNS: usize = 72;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Heading,
    Paragraph,
    Button,
    Code,
    Note,
}

/// One part of a mail. Both layouts show the same blocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Block {
    kind: Kind,
    pub(crate) text: String,
    /// Of a button only; otherwise empty.
    pub(crate) link: String,
}

impl Block {
    /// The block as a layout sees it.
    pub(crate) fn values(&self) -> Value {
        let kind = match self.kind {
            Kind::Heading => "heading",
            Kind::Paragraph => "paragraph",
            Kind::Button => "button",
            Kind::Code => "code",
            Kind::Note => "note",
        };
        minijinja::context! { kind, text => &self.text, link => &self.link }
    }
}

/// The blocks of a rendered template. `plain` turns a part of the template's output into text.
///
/// Blocks are separated by blank lines: `# heading`, `[text](link)`, `` `code` ``, `> note`, or a paragraph.
pub(crate) fn blocks(source: &str, plain: impl Fn(&str) -> String) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut lines = Vec::new();
    for line in source.lines().chain([""]) {
        let line = line.trim();
        if !line.is_empty() {
            lines.push(line);
        } else if !lines.is_empty() {
            blocks.push(block(&lines.join(" "), &plain));
            lines.clear();
        }
    }
    blocks
}

fn block(source: &str, plain: impl Fn(&str) -> String) -> Block {
    let of = |kind, text: &str| Block { kind, text: plain(text.trim()), link: String::new() };
    let button = source.strip_prefix('[').and_then(|s| s.strip_suffix(')')).and_then(|s| s.split_once("]("));
    let code = source.strip_prefix('`').and_then(|s| s.strip_suffix('`'));
    if let Some((text, link)) = button {
        Block { link: plain(link.trim()), ..of(Kind::Button, text) }
    } else if let Some(code) = code {
        of(Kind::Code, code)
    } else if let Some(heading) = source.strip_prefix("# ") {
        of(Kind::Heading, heading)
    } else if let Some(note) = source.strip_prefix("> ") {
        of(Kind::Note, note)
    } else {
        of(Kind::Paragraph, source)
    }
}

/// The mail as plain text, with the name of the service as its signature.
pub(crate) fn text(blocks: &[Block], service: &str) -> String {
    let mut text = String::new();
    for block in blocks {
        match block.kind {
            Kind::Heading | Kind::Paragraph | Kind::Note => wrap(&mut text, &block.text),
            Kind::Button => {
                wrap(&mut text, &format!("{}:", block.text));
                text.push_str(&block.link);
            }
            Kind::Code => {
                text.push_str("    ");
                text.push_str(&block.text);
            }
        }
        text.truncate(text.trim_end_matches('\n').len());
        text.push_str("\n\n");
    }
    // The separator of signatures (RFC 3676, section 4.3).
    text.push_str("-- \n");
    text.push_str(service);
    text.push('\n');
    text
}

fn wrap(out: &mut String, text: &str) {
    let mut column = 0;
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let width = word.chars().count();
        if column > 0 && column + 1 + width > COLUMNS {
            out.push('\n');
            column = 0;
        } else if column > 0 {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += width;
    }
    out.push('\n');
}
