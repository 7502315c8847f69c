//! The quantizers that are compared, as one table.

use anyhow::{Result, bail};

/// Placeholder for the number of steps in a member's section.
const STEPS: &str = "{steps}";

/// Keys of `[tokenizer]` that a member may set; all other keys are the same for all members.
pub const VARIED: &[&str] = &["quantizer", "embed_dim"];

/// One row of the table: a quantizer, and its keys in the recipe.
#[derive(Debug)]
pub struct Member {
    /// The name on the command line and in the table, and the run's folder.
    pub name: &'static str,
    /// Short description.
    pub about: &'static str,
    /// The publication that describes it.
    pub source: &'static str,
    /// The whole section `[tokenizer.quantizer]`; `{steps}` in it is the number of steps.
    quantizer: &'static str,
    /// `KEY=VALUE` of further keys of `[tokenizer]`, each of which [`VARIED`] names.
    also: &'static [&'static str],
}

/// A new quantizer, or a variant of one, is one entry here. Keys that are not written have the defaults that its source
/// gives them. Codes that are compared by cosine are narrow, as in their source.
#[rustfmt::skip]
pub const MEMBERS: &[Member] = &[
    member("vq", "codes by gradient", "van den Oord et al. 2017",
        r#"{ type = "vq", codebook_size = 1024 }"#, &[]),
    member("vq-cosine", "codes by gradient, compared by cosine, latents of width 8", "Yu et al. 2022",
        r#"{ type = "vq", codebook_size = 1024, metric = "cosine" }"#, &["tokenizer.embed_dim=8"]),
    member("vq-rotation", "codes by gradient, rotation trick", "Fifty et al. 2024",
        r#"{ type = "vq", codebook_size = 1024, gradient = "rotation" }"#, &[]),
    member("ema", "codes by moving averages", "van den Oord et al. 2017, appendix A.1",
        r#"{ type = "ema", codebook_size = 1024 }"#, &[]),
    member("ema-cosine", "codes by moving averages, compared by cosine, latents of width 8", "Yu et al. 2022",
        r#"{ type = "ema", codebook_size = 1024, metric = "cosine" }"#, &["tokenizer.embed_dim=8"]),
    member("ema-sampled", "codes by moving averages, sampled in training", "Roy et al. 2018",
        r#"{ type = "ema", codebook_size = 1024, sample_temperature = 0.5 }"#, &[]),
    member("gumbel", "sampled codes, temperature from 1 to 1/16", "Jang et al. 2017",
        r#"{ type = "gumbel", codebook_size = 1024, anneal = { end = 0.0625, steps = {steps} } }"#, &[]),
    member("product", "two codes per position, one for each half of the latent", "Jégou et al. 2011",
        r#"{ type = "product", groups = 2, quantizer = { type = "ema", codebook_size = 32 } }"#, &[]),
    member("residual", "two codes per position, the second for the residual of the first", "Lee et al. 2022",
        r#"{ type = "residual", num_quantizers = 2, quantizer = { type = "ema", codebook_size = 32 } }"#, &[]),
    member("fsq", "four channels rounded to 8, 5, 5 and 5 levels", "Mentzer et al. 2023",
        r#"{ type = "fsq", levels = [8, 5, 5, 5] }"#, &[]),
    member("lfq", "signs of ten channels", "Yu et al. 2023",
        r#"{ type = "lfq", codebook_size = 1024 }"#, &[]),
    member("bsq", "signs of ten channels, on the unit sphere", "Zhao et al. 2024",
        r#"{ type = "bsq", codebook_size = 1024 }"#, &[]),
    member("simvq", "fixed codes, transformed by one learned linear map", "Zhu et al. 2024",
        r#"{ type = "simvq", codebook_size = 1024 }"#, &[]),
    member("ibq", "every code learns from every position", "Shi et al. 2024",
        r#"{ type = "ibq", codebook_size = 1024 }"#, &[]),
];

const fn member(
    name: &'static str,
    about: &'static str,
    source: &'static str,
    quantizer: &'static str,
    also: &'static [&'static str],
) -> Member {
    Member { name, about, source, quantizer, also }
}

impl Member {
    /// Its overrides of the recipe: `KEY=VALUE`, as for `--set`.
    pub fn overrides(&self, steps: u64) -> Vec<String> {
        let quantizer = format!("tokenizer.quantizer={}", self.quantizer.replace(STEPS, &steps.to_string()));
        let also = self.also.iter().map(|pair| (*pair).to_owned());
        std::iter::once(quantizer).chain(also).collect()
    }
}

/// The members with these names, in the order of the table; all if no name is given.
pub fn chosen(names: &[String]) -> Result<Vec<&'static Member>> {
    if let Some(name) = names.iter().find(|name| MEMBERS.iter().all(|member| member.name != **name)) {
        let known = MEMBERS.iter().map(|member| member.name).collect::<Vec<_>>().join(", ");
        bail!("there is no quantizer `{name}` in the table; there are {known}");
    }
    let is_chosen = |member: &&Member| names.is_empty() || names.iter().any(|name| name == member.name);
    Ok(MEMBERS.iter().filter(is_chosen).collect())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::quantizers::recipe;

    #[test]
    fn every_member_has_a_name_of_its_own_and_sets_only_what_may_vary() {
        let names: BTreeSet<_> = MEMBERS.iter().map(|member| member.name).collect();
        assert_eq!(names.len(), MEMBERS.len());
        for member in MEMBERS {
            for pair in member.overrides(1500) {
                let (key, value) = recipe::split(&pair).unwrap();
                let varied = key.strip_prefix("tokenizer.").is_some_and(|key| VARIED.contains(&key));
                assert!(varied, "{}: {key}", member.name);
                if key == "tokenizer.quantizer" {
                    assert!(value.get("type").is_some_and(toml::Value::is_str), "{}: {value}", member.name);
                }
            }
        }
    }

    #[test]
    fn the_fall_of_a_temperature_takes_all_steps() {
        let gumbel = chosen(&["gumbel".into()]).unwrap()[0].overrides(40);
        assert!(gumbel[0].ends_with("steps = 40 } }"), "{gumbel:?}");
    }

    #[test]
    fn members_are_chosen_in_their_order_and_an_unknown_one_is_answered_with_the_known() {
        let names = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            chosen(&names).map(|members| members.iter().map(|member| member.name).collect::<Vec<_>>())
        };
        assert_eq!(names(&["ema", "vq"]).unwrap(), ["vq", "ema"]);
        assert_eq!(names(&[]).unwrap().len(), MEMBERS.len());
        let error = names(&["vqq"]).unwrap_err().to_string();
        assert!(error.contains("`vqq`") && error.contains("gumbel"), "{error}");
    }
}
