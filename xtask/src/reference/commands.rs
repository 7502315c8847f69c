//! The page of the command line: what each command's `--help` prints.

use anyhow::Result;

const HEAD: &str = "\
# Command line

<!-- Written by `cargo xtask reference`. -->

What `vqkit --help` and `vqkit COMMAND --help` print. [Exit codes](exit-codes.md) has a page of its own.

In a checkout, `cargo xtask` provides what a workflow needs first (libtorch, a build, a Python environment) and then runs it:
`setup`, `demo`, `train`, `condition` (also named `sample`), `evaluate`, `quantizers`, `bench`, `book`, `reference`, `test` and
`tidy`; `cargo xtask help` describes them.
";

/// The page. `help`: what `vqkit WORDS --help` prints.
pub fn page(help: impl Fn(&[&str]) -> Result<String>) -> Result<String> {
    let general = help(&[])?;
    let mut page = HEAD.to_owned() + &block("vqkit", &general);
    for command in commands(&general) {
        page += &block(&format!("vqkit {command}"), &help(&[command])?);
    }
    Ok(page)
}

/// The commands that the general help lists, but for `help` itself.
fn commands(general: &str) -> Vec<&str> {
    let listed = general.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let names = listed.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    names.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help").collect()
}

fn block(title: &str, help: &str) -> String {
    format!("\n## {title}\n\n```text\n{}\n```\n", help.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GENERAL: &str = "What it is\n\nCommands:\n  train      Train\n             a recipe\n  sample     Draw\n  help       Help\n\nOptions:\n  -h\n";

    #[test]
    fn every_command_has_a_block() {
        let help = |words: &[&str]| Ok(if words.is_empty() { GENERAL.into() } else { format!("of {}\n", words[0]) });
        let page = page(help).unwrap();
        assert!(
            page.ends_with(
                "\n## vqkit train\n\n```text\nof train\n```\n\n## vqkit sample\n\n```text\nof sample\n```\n"
            )
        );
    }
}
