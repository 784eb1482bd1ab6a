"""What a third party's backend begins as: the files of a package that works, and the command that writes them.

`project/` is that package, under the device string "newdevice": real files, which are linted and tested as they stand.
`flambeau new-backend NAME DIR` copies them and puts the new names in place of the old ones.
"""
