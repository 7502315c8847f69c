//! The tutorial: every command of its pages runs, in their order, on a small folder of images and with few steps.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use image::{Rgb, RgbImage};

/// The pages, in the order in which they are read.
const PAGES: [&str; 3] = ["first-run", "own-images", "conditions"];

/// A block of code of a page.
enum Block {
    /// Commands of a shell.
    Commands(Vec<String>),
    /// A recipe, with its name.
    Recipe { name: String, text: String },
}

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The shell commands and recipes of a page.
fn blocks(page: &str) -> Vec<Block> {
    let text = fs::read_to_string(docs().join(format!("docs/src/tutorial/{page}.md"))).unwrap();
    let fenced = text.split("\n```").skip(1).step_by(2);
    let block = |fenced: &str| {
        let (kind, body) = fenced.split_once('\n')?;
        let name = || body.lines().find_map(|line| line.strip_prefix("name = \"")?.split('"').next());
        match kind {
            "sh" => Some(Block::Commands(body.lines().map(str::to_owned).collect())),
            "toml" => Some(Block::Recipe { name: name()?.to_owned(), text: few_steps(body) }),
            _ => None,
        }
    };
    fenced.filter_map(block).collect()
}

/// The same recipe, with so few steps that a test can wait for it.
fn few_steps(recipe: &str) -> String {
    let line = |line: &str| match line.starts_with("steps = ") {
        true => "steps = 3".to_owned(),
        false => line.to_owned(),
    };
    recipe.replace("warmup_steps = 100", "warmup_steps = 1").lines().map(|text| line(text) + "\n").collect()
}

/// What the pages presuppose: a folder of images by class, captions for them, and a picture.
fn photographs(folder: &Path) {
    let mut manifest = "image,caption\n".to_owned();
    for class in ["cat", "dog"] {
        fs::create_dir_all(folder.join("photographs").join(class)).unwrap();
        for index in 0..24_u32 {
            let shade = |x: u32, y: u32| Rgb([(8 * index) as u8, (3 * x) as u8, (3 * y) as u8]);
            let name = format!("photographs/{class}/{index:03}.jpg");
            RgbImage::from_fn(72, 64, shade).save(folder.join(&name)).unwrap();
            manifest += &format!("{name},a grey {class} on sofa {index}\n");
        }
    }
    fs::write(folder.join("photographs.csv"), manifest).unwrap();
    fs::copy(folder.join("photographs/cat/001.jpg"), folder.join("picture.jpg")).unwrap();
    image::open(folder.join("picture.jpg")).unwrap().save(folder.join("picture.png")).unwrap();
}

/// The command with what makes it short.
fn short(command: &str) -> String {
    match command.split_whitespace().nth(1) {
        Some("new" | "estimate") => format!("{command} --seconds 1"),
        _ => command.to_owned(),
    }
}

fn shell(command: &str, folder: &Path) {
    let path = format!("{}:{}", folder.join("bin").display(), std::env::var("PATH").unwrap());
    let mut shell = Command::new("sh");
    shell.args(["-c", command]).current_dir(folder).env("PATH", path);
    shell.env("XDG_CACHE_HOME", folder.join("cache")).env("VQKIT_OFFLINE", "1");
    let output = shell.output().unwrap();
    assert!(output.status.success(), "`{command}` failed:\n{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn every_command_of_the_tutorial_runs() {
    let folder = tempfile::tempdir().unwrap();
    photographs(folder.path());
    fs::create_dir(folder.path().join("bin")).unwrap();
    symlink(env!("CARGO_BIN_EXE_vqkit"), folder.path().join("bin/vqkit")).unwrap();
    let mut commands = 0;
    for block in PAGES.iter().flat_map(|page| blocks(page)) {
        match block {
            Block::Recipe { name, text } => fs::write(folder.path().join(name + ".toml"), text).unwrap(),
            Block::Commands(lines) => {
                for command in lines {
                    // Of the demo, which also installs and builds, the run that it leaves.
                    if command == "cargo xtask demo" {
                        let demo = fs::read_to_string(docs().join("configs/demo.toml")).unwrap();
                        let few = few_steps(&demo).replace("count = 60000", "count = 200").replace("= 1000", "= 50");
                        assert!(few.contains("\ncount = 200\n") && few.contains("count = 50\n"), "{few}");
                        fs::write(folder.path().join("demo.toml"), few).unwrap();
                        shell("vqkit train demo.toml", folder.path());
                    } else {
                        assert!(command.starts_with("vqkit "), "the tutorial has another command: {command}");
                        shell(&short(&command), folder.path());
                    }
                    commands += 1;
                }
            }
        }
    }
    assert!(commands > 10, "only {commands} commands were found");
}
