//! Numbers and strings of a pickle. Of bytes, which weights do not need, only the kind is kept.

use super::machine::Machine;
use super::node::Node;
use super::opcode::*;

impl Machine<'_, '_> {
    pub fn scalar(&mut self, code: u8) -> Result<Node, String> {
        Ok(match code {
            NONE => Node::None,
            NEWTRUE => Node::Bool(true),
            NEWFALSE => Node::Bool(false),
            BININT => Node::Int(i32::from_le_bytes(self.input.array()?).into()),
            BININT1 => Node::Int(self.input.byte()?.into()),
            BININT2 => Node::Int(u16::from_le_bytes(self.input.array()?).into()),
            LONG1 | LONG4 => {
                let length = self.input.length(if code == LONG1 { 1 } else { 4 })?;
                long(&self.input.take(length)?)
            }
            INT | LONG => whole(&self.input.line()?)?,
            FLOAT => {
                let line = self.input.line()?;
                line.trim().parse().map(Node::Float).map_err(|_| no_number(&line))?
            }
            _ => Node::Float(f64::from_be_bytes(self.input.array()?)),
        })
    }

    pub fn text(&mut self, code: u8) -> Result<Node, String> {
        let bytes = match code {
            STRING => self.input.line()?.trim_matches(['\'', '"']).as_bytes().to_vec(),
            UNICODE => self.input.line()?.into_bytes(),
            _ => {
                let width = match code {
                    SHORT_BINSTRING | SHORT_BINUNICODE => 1,
                    BINUNICODE8 => 8,
                    _ => 4,
                };
                let length = self.input.length(width)?;
                self.input.take(length)?
            }
        };
        Ok(std::str::from_utf8(&bytes).map_or_else(|_| Node::Other("str"), |text| Node::Text(text.into())))
    }

    pub fn blob(&mut self, code: u8) -> Result<(), String> {
        let width = match code {
            SHORT_BINBYTES => 1,
            BINBYTES => 4,
            _ => 8,
        };
        let length = self.input.length(width)?;
        self.input.skip(length)?;
        self.push(Node::Other("bytes"))
    }
}

/// A number as Python writes it, or a truth value as protocol 0 does.
fn whole(line: &str) -> Result<Node, String> {
    let digits = line.trim().trim_end_matches('L');
    let is_number = digits.trim_start_matches('-').bytes().all(|byte| byte.is_ascii_digit());
    match (digits, digits.parse()) {
        ("00", _) => Ok(Node::Bool(false)),
        ("01", _) => Ok(Node::Bool(true)),
        (_, Ok(number)) => Ok(Node::Int(number)),
        // More digits than 128 bits have.
        (digits, Err(_)) if is_number && !digits.is_empty() => Ok(Node::Other("int")),
        _ => Err(no_number(line)),
    }
}

fn no_number(line: &str) -> String {
    format!("its pickle is broken: {line:?} is no number")
}

/// A little-endian two's complement; numbers beyond 128 bits are none that weights need.
fn long(bytes: &[u8]) -> Node {
    let negative = bytes.last().is_some_and(|byte| *byte >= 0x80);
    let mut wide = [if negative { 0xff } else { 0 }; 16];
    match wide.get_mut(..bytes.len()) {
        Some(low) => low.copy_from_slice(bytes),
        None => return Node::Other("int"),
    }
    Node::Int(i128::from_le_bytes(wide))
}
