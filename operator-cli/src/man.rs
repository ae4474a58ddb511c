//! `waybill man [DIR]`: the manual pages of all commands.

use std::fs;
use std::path::PathBuf;

use clap::{Arg, ArgMatches, Command, value_parser};
use clap_mangen::Man;

use crate::failure::{Failure, Result};
use crate::out;

pub(crate) fn command() -> Command {
    let directory = Arg::new("directory").value_name("DIR").value_parser(value_parser!(PathBuf));
    Command::new("man")
        .about("Print the manual page of waybill, or write those of all commands into a directory")
        .arg(directory.help("Where to write them, such as ~/.local/share/man/man1; it is made if it isn't there"))
}

pub(crate) fn run(matches: &ArgMatches, mut whole: Command) -> Result<()> {
    let Some(directory) = matches.get_one::<PathBuf>("directory") else {
        let mut page = Vec::new();
        whole.build();
        Man::new(whole).render(&mut page).map_err(|error| Failure::here(format!("no page can be made: {error}")))?;
        return out::raw(&page);
    };
    let written = fs::create_dir_all(directory).and_then(|()| clap_mangen::generate_to(whole, directory));
    written.map_err(|error| Failure::here(format!("{} can't be written to: {error}", directory.display())))?;
    out::note(format_args!("manual pages are in {}", directory.display()));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Operators;

    #[test]
    fn every_command_has_a_page() {
        let directory = std::env::temp_dir().join(format!("waybill-man-{}", std::process::id()));
        let whole = Operators::default().mount(Command::new("waybill"));
        let matches = command().try_get_matches_from(["man", &directory.display().to_string()]).unwrap();
        run(&matches, whole).unwrap();
        let pages = fs::read_dir(&directory).unwrap().count();
        let create = fs::read_to_string(directory.join("waybill-campaign-create.1")).unwrap();
        fs::remove_dir_all(&directory).unwrap();
        assert!(pages > 150, "{pages}");
        assert!(create.starts_with(".ie") && create.contains("Create a campaign"), "{create}");
    }
}
