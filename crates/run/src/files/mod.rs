//! Files and folders that are complete or absent: written under a temporary name, then renamed.
//!
//! No function here creates a parent folder for a file, follows a link to write, or removes what vqkit did not create.

mod file;
mod folder;
mod home;
mod names;
mod place;
mod temporary;

pub use self::{
    file::{create_file, open_own, point, read_json, read_text, write, write_json, write_with},
    folder::{create, create_here, create_numbered, make_inside, replace},
    home::Home,
    names::short_name,
    place::check_free,
    temporary::{abandon_all, sweep},
};
