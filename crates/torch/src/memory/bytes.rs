//! Numbers of bytes as text.

/// Names of units of a thousand each.
const UNITS: [&str; 6] = ["kB", "MB", "GB", "TB", "PB", "EB"];

/// A number of bytes in units of a thousand: `512 bytes`, `12.3 GB`.
pub fn format_bytes(bytes: u64) -> String {
    let mut number = bytes as f64;
    let mut unit = None;
    for name in UNITS {
        // From here on, one decimal would say 1000.0.
        if number < 999.95 {
            break;
        }
        (number, unit) = (number / 1000.0, Some(name));
    }
    match unit {
        Some(unit) => format!("{number:.1} {unit}"),
        None => format!("{bytes} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_units() {
        for (bytes, words) in [
            (0, "0 bytes"),
            (999, "999 bytes"),
            (1000, "1.0 kB"),
            (999_949, "999.9 kB"),
            (999_950, "1.0 MB"),
            (12_345_000_000, "12.3 GB"),
            (u64::MAX, "18.4 EB"),
        ] {
            assert_eq!(format_bytes(bytes), words);
        }
    }
}
