//! The user of the process, from the image's `/etc/passwd` and `/etc/group`, read as runc reads them
//! (<https://github.com/moby/sys/blob/main/user/user.go>).

/// The highest id: what runc takes.
const MAX_ID: i64 = (1 << 31) - 1;

/// Who the program runs as.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct User {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Supplementary groups.
    pub(crate) groups: Vec<u32>,
    pub(crate) home: String,
}

struct Passwd<'a> {
    name: &'a str,
    uid: i64,
    gid: i64,
    home: &'a str,
}

struct Group<'a> {
    name: &'a str,
    gid: i64,
    members: &'a str,
}

/// The user that `user[:group]` means, by name or number. An empty one is root.
pub(crate) fn find(spec: &str, passwd: &str, group: &str) -> Result<User, String> {
    let (user_part, group_part) = spec.split_once(':').unwrap_or((spec, ""));
    // What stands behind a second colon is dropped.
    let group_part = group_part.split(':').next().unwrap_or_default();
    let number = user_part.parse::<i64>().ok();
    let entry = lines(passwd).map(passwd_entry).find(|entry| match number {
        _ if user_part.is_empty() => entry.uid == 0,
        Some(number) => entry.uid == number,
        None => entry.name == user_part,
    });
    let (uid, mut gid, home, name) = match (&entry, number) {
        (Some(entry), _) => (entry.uid, entry.gid, entry.home, Some(entry.name)),
        (None, Some(number)) => (number, 0, "", None),
        (None, None) if user_part.is_empty() => (0, 0, "", None),
        (None, None) => return Err(format!("user {user_part} is not in /etc/passwd")),
    };
    let mut groups = Vec::new();
    if group_part.is_empty() {
        if let Some(name) = name {
            let is_member = |entry: &Group<'_>| entry.members.split(',').any(|one| one == name);
            for entry in lines(group).map(group_entry).filter(is_member) {
                groups.push(id(entry.gid)?);
            }
        }
    } else {
        let number = group_part.parse::<i64>().ok();
        let found = lines(group).map(group_entry).find(|entry| match number {
            Some(number) => entry.gid == number,
            None => entry.name == group_part,
        });
        gid = match (found, number) {
            (Some(entry), _) => entry.gid,
            (None, Some(number)) => number,
            (None, None) => return Err(format!("group {group_part} is not in /etc/group")),
        };
    }
    Ok(User {
        uid: id(uid)?,
        gid: id(gid)?,
        groups,
        home: match home {
            "" => "/".to_owned(),
            home => home.to_owned(),
        },
    })
}

/// Whether the guest will find the user that `user[:group]` means in these files.
///
/// # Errors
///
/// What is not in them, or is out of range.
pub fn check_user(spec: &str, passwd: &str, group: &str) -> Result<(), String> {
    find(spec, passwd, group).map(|_| ())
}

fn id(number: i64) -> Result<u32, String> {
    match u32::try_from(number) {
        Ok(id) if number <= MAX_ID => Ok(id),
        _ => Err(format!("id {number} is not between 0 and {MAX_ID}")),
    }
}

fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty())
}

/// A field that is no number counts as zero, as in runc.
fn number(field: Option<&str>) -> i64 {
    field.and_then(|field| field.parse().ok()).unwrap_or(0)
}

/// `name:password:uid:gid:gecos:home:shell`
fn passwd_entry(line: &str) -> Passwd<'_> {
    let mut fields = line.split(':');
    Passwd {
        name: fields.next().unwrap_or_default(),
        uid: number(fields.nth(1)),
        gid: number(fields.next()),
        home: fields.nth(1).unwrap_or_default(),
    }
}

/// `name:password:gid:member,member`
fn group_entry(line: &str) -> Group<'_> {
    let mut fields = line.split(':');
    Group {
        name: fields.next().unwrap_or_default(),
        gid: number(fields.nth(1)),
        members: fields.next().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\n\
        web:x:33:34:web:/srv/web:/bin/false\n\n  \
        1000:x:1234:5:a name of digits:/home/digits:\n\
        app:x:1000:1000::/home/app:/bin/sh\n\
        web:x:99:99:second of the name:/:\n\
        torn\n\
        big:x:2147483648:0::/:\n";
    const GROUP: &str = "root:x:0:\nwww:x:34:web\naudio:x:63:app,web\nvideo:x:44:web,app,\n\
        app:x:1000:\ntorn\n5:x:77:\n";

    fn found(spec: &str) -> Result<(u32, u32, Vec<u32>, String), String> {
        let user = find(spec, PASSWD, GROUP)?;
        Ok((user.uid, user.gid, user.groups, user.home))
    }

    #[test]
    fn users_are_found_as_runc_finds_them() {
        let cases: [(&str, u32, u32, &[u32], &str); 12] = [
            ("", 0, 0, &[], "/root"),
            ("root", 0, 0, &[], "/root"),
            ("web", 33, 34, &[34, 63, 44], "/srv/web"),
            ("33", 33, 34, &[34, 63, 44], "/srv/web"),
            // A number is an id, even where a user is called so.
            ("1000", 1000, 1000, &[63, 44], "/home/app"),
            ("4711", 4711, 0, &[], "/"),
            ("4711:4712", 4711, 4712, &[], "/"),
            ("web:app", 33, 1000, &[], "/srv/web"),
            ("web:63", 33, 63, &[], "/srv/web"),
            ("web:5", 33, 5, &[], "/srv/web"),
            (":app", 0, 1000, &[], "/root"),
            ("torn", 0, 0, &[], "/"),
        ];
        for (spec, uid, gid, groups, home) in cases {
            let expected = (uid, gid, groups.to_vec(), home.to_owned());
            assert_eq!(found(spec), Ok(expected), "{spec}");
        }
    }

    #[test]
    fn unknown_names_and_ids_out_of_range_are_refused() {
        for (spec, error) in [
            ("nobody", "user nobody is not in /etc/passwd"),
            ("web:none", "group none is not in /etc/group"),
            ("-1", "id -1 is not between 0 and 2147483647"),
            (
                "2147483648",
                "id 2147483648 is not between 0 and 2147483647",
            ),
            ("big", "id 2147483648 is not between 0 and 2147483647"),
            ("0:-2", "id -2 is not between 0 and 2147483647"),
        ] {
            assert_eq!(found(spec), Err(error.to_owned()));
        }
    }

    #[test]
    fn an_image_without_the_files_has_numbers_and_root() {
        assert_eq!(find("", "", "").unwrap().home, "/");
        assert_eq!(find("5:6", "", "").unwrap().gid, 6);
        assert!(find("app", "", "").is_err());
    }

    proptest! {
        #[test]
        fn no_file_makes_it_panic(spec in ".{0,20}", passwd in ".{0,200}", group in ".{0,200}") {
            let _ = find(&spec, &passwd, &group);
        }
    }
}
