//! Numbers and strings of a pickle. Of floats and bytes, which weights do not need, only the kind is kept.

use std::io::BufRead;

use super::node::Node;
use super::opcode::*;
use super::pickle::Machine;

impl<R: BufRead> Machine<'_, R> {
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
            INT | LONG => match self.input.line()?.trim_end_matches('L') {
                "00" => Node::Bool(false),
                "01" => Node::Bool(true),
                digits => digits.parse().map_or_else(|_| Node::Opaque("int".into()), Node::Int),
            },
            FLOAT => {
                self.input.line()?;
                Node::Opaque("float".into())
            }
            _ => {
                self.input.skip(8)?;
                Node::Opaque("float".into())
            }
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
        Ok(std::str::from_utf8(&bytes).map_or_else(|_| Node::Opaque("str".into()), |text| Node::Text(text.into())))
    }

    pub fn blob(&mut self, code: u8) -> Result<(), String> {
        let width = match code {
            SHORT_BINBYTES => 1,
            BINBYTES => 4,
            _ => 8,
        };
        let length = self.input.length(width)?;
        self.input.skip(length)?;
        self.push(Node::Opaque("bytes".into()))
    }
}

/// A little-endian two's complement; numbers beyond 128 bits are none that weights need.
fn long(bytes: &[u8]) -> Node {
    let negative = bytes.last().is_some_and(|byte| *byte >= 0x80);
    let mut wide = [if negative { 0xff } else { 0 }; 16];
    match wide.get_mut(..bytes.len()) {
        Some(low) => low.copy_from_slice(bytes),
        None => return Node::Opaque("int".into()),
    }
    Node::Int(i128::from_le_bytes(wide))
}
