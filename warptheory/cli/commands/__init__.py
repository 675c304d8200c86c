"""The commands, one file each: `command` is the function, `EXAMPLES` what `--help` shows below it."""
