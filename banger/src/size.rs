//! Sizes as people write and read them.

/// Reads a size in the grammar of coreutils: a whole number of bytes, or one followed by `K`, `M`,
/// `G`, `T`, `P` (and `KiB` …) for powers of 1024, or `KB`, `MB` … for powers of 1000.
///
/// # Errors
///
/// A fragment that names what is wrong with `text`.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, suffix) = text.split_at(digits);
    if number.is_empty() {
        return Err(format!("size {text:?} does not start with a number"));
    }
    let number: u64 = number
        .parse()
        .map_err(|_| format!("size {text:?} is above {} bytes", u64::MAX))?;
    let unit = unit_of(suffix).ok_or_else(|| {
        format!("size {text:?} has the unknown unit {suffix:?} (known: K M G T P, KiB …, KB …)")
    })?;
    number
        .checked_mul(unit)
        .ok_or_else(|| format!("size {text:?} is above {} bytes", u64::MAX))
}

fn unit_of(suffix: &str) -> Option<u64> {
    if matches!(suffix, "" | "B") {
        return Some(1);
    }
    let mut letters = suffix.chars();
    let power = match letters.next()?.to_ascii_uppercase() {
        'K' => 1,
        'M' => 2,
        'G' => 3,
        'T' => 4,
        'P' => 5,
        _ => return None,
    };
    match letters.as_str() {
        "" | "iB" => Some(1024_u64.pow(power)),
        "B" => Some(1000_u64.pow(power)),
        _ => None,
    }
}

/// A size for people: IEC units with at most one decimal, such as `1 GiB` or `204.6 MiB`.
#[must_use]
pub fn format_size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut unit = 0;
    let mut divisor = 1024_u64;
    // The next unit is taken early when rounding to one decimal would show 1024.0 of this one.
    while unit + 1 < UNITS.len() && tenths(bytes, divisor) >= 10 * 1024 {
        divisor *= 1024;
        unit += 1;
    }
    let tenths = tenths(bytes, divisor);
    match tenths % 10 {
        0 => format!("{} {}", tenths / 10, UNITS[unit]),
        decimal => format!("{}.{decimal} {}", tenths / 10, UNITS[unit]),
    }
}

fn tenths(bytes: u64, divisor: u64) -> u128 {
    (u128::from(bytes) * 10 + u128::from(divisor) / 2) / u128::from(divisor)
}

/// A count for people, in groups of three: `1,234,567`.
#[must_use]
pub fn format_count(count: u64) -> String {
    let digits = count.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_follow_coreutils() {
        let table = [
            ("0", 0),
            ("4096", 4096),
            ("512B", 512),
            ("1K", 1024),
            ("1k", 1024),
            ("1KiB", 1024),
            ("1KB", 1000),
            ("2M", 2 << 20),
            ("2GiB", 2 << 30),
            ("3GB", 3_000_000_000),
            ("1T", 1 << 40),
            ("1P", 1 << 50),
        ];
        for (text, bytes) in table {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for text in [
            "",
            "K",
            "-1",
            "1.5G",
            "1X",
            "1KiBs",
            "1iB",
            "99999999999999999999",
            "99999P",
        ] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_print_in_iec_units() {
        let table = [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1 KiB"),
            (1536, "1.5 KiB"),
            ((1 << 20) - 1, "1 MiB"),
            (1 << 30, "1 GiB"),
            (u64::MAX, "16 EiB"),
        ];
        for (bytes, text) in table {
            assert_eq!(format_size(bytes), text);
        }
    }

    #[test]
    fn counts_print_in_groups() {
        assert_eq!(format_count(0), "0");
        assert_eq!(format_count(999), "999");
        assert_eq!(format_count(1000), "1,000");
        assert_eq!(format_count(1_234_567), "1,234,567");
    }
}
