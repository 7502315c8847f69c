//! The pairs: what is compared with what, as one table.

use anyhow::{Result, bail};

/// Two programs that do the same, each of which prints one line of JSON with the same figure.
#[derive(Debug)]
pub struct Pair {
    /// The name on the command line and in the table.
    pub name: &'static str,
    /// What is done, by whom.
    pub about: &'static str,
    /// The package of our example.
    pub package: &'static str,
    /// Our example.
    pub example: &'static str,
    /// The key of the figure that is compared, more is better; without a peer, of the ratio itself.
    pub figure: &'static str,
    /// The peer, a script in `benches/peers`; without one, our example compares two ways itself and prints their ratio.
    pub peer: Option<&'static str>,
    /// The option with which either side takes its number of threads.
    pub threads: &'static str,
    /// A file below the folder of data sets, the first argument of either side.
    pub data: Option<&'static str>,
}

/// A new pair is one entry here, an example in its crate and a script in `benches/peers`.
pub const PAIRS: &[Pair] = &[
    Pair {
        name: "data-loader",
        about: "128-pixel photographs decoded, resized to 64 and batched on two workers; PyTorch's DataLoader with Pillow",
        package: "vqkit-data",
        example: "loader_throughput",
        figure: "images_per_second",
        peer: Some("loader.py"),
        threads: "--workers",
        data: Some("clothing128-train.tar"),
    },
    Pair {
        name: "pixelcnn-sampling",
        about: "a 32×32 grid drawn incrementally; the loop of full forward passes, its time extrapolated from ten",
        package: "vqkit-priors",
        example: "pixelcnn_speed",
        figure: "speed_up",
        peer: None,
        threads: "--threads",
        data: None,
    },
];

/// The pairs of these names, in their order; all where none is named.
pub fn chosen(names: &[String]) -> Result<Vec<&'static Pair>> {
    if names.is_empty() {
        return Ok(PAIRS.iter().collect());
    }
    let find = |name: &String| match PAIRS.iter().find(|pair| pair.name == name) {
        Some(pair) => Ok(pair),
        None => bail!("there is no pair `{name}`; there are {}", known()),
    };
    names.iter().map(find).collect()
}

fn known() -> String {
    PAIRS.iter().map(|pair| pair.name).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cargo::root;

    #[test]
    fn an_unknown_pair_is_answered_with_the_known() {
        let error = chosen(&["loader".into()]).unwrap_err().to_string();
        assert!(error.contains("`loader`") && error.contains("data-loader"), "{error}");
    }

    #[test]
    fn both_sides_of_every_pair_exist() {
        for pair in PAIRS {
            let krate = pair.package.strip_prefix("vqkit-").unwrap_or(pair.package);
            let example = root().join(format!("crates/{krate}/examples/{}.rs", pair.example));
            let text = std::fs::read_to_string(&example).unwrap_or_default();
            for word in [pair.figure, pair.threads] {
                assert!(text.contains(word), "{}: there is no `{word}` in {}", pair.name, example.display());
            }
            if let Some(peer) = pair.peer {
                assert!(root().join("benches/peers").join(peer).is_file(), "{}: there is no {peer}", pair.name);
            }
        }
    }
}
