//! Text as files hold it.

/// The mark of byte order that some programs put before UTF-8.
const MARK: char = '\u{feff}';

/// The text of these bytes, without a mark of byte order.
///
/// # Errors
/// In words: which text it is instead.
pub(super) fn utf8(bytes: Vec<u8>) -> Result<String, String> {
    if is_utf16(&bytes) {
        return Err("is UTF-16; save it as UTF-8".into());
    }
    let text = String::from_utf8(bytes).map_err(|_| "is not UTF-8 text".to_owned())?;
    Ok(text.strip_prefix(MARK).map(str::to_owned).unwrap_or(text))
}

/// Whether a text that begins so is UTF-16 or UTF-32: by its mark of byte order, or by zeros, which text in UTF-8 has none of.
pub(super) fn is_utf16(head: &[u8]) -> bool {
    match head {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => true,
        [0, second, ..] if *second != 0 => true,
        [first, 0, ..] => *first != 0,
        _ => false,
    }
}

/// The text without blanks around it; `None` where nothing is left.
pub(super) fn present(text: &str) -> Option<String> {
    Some(text.trim()).filter(|text| !text.is_empty()).map(str::to_owned)
}
