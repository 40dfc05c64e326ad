package damage

import "regexp"

// pending are rows that are known to be wrong, with the reason. They are printed and
// do not fail unless -strict is given.
var pending = []struct {
	rows *regexp.Regexp
	why  string
}{
	{regexp.MustCompile("^commitlog"), "recovery takes damage for a crash, reads do not name the file"},
	{regexp.MustCompile("^consumequeue"), "damaged entries are not looked for, a changed file size is taken"},
	{regexp.MustCompile("^index"), "damaged index files are not looked for"},
	{regexp.MustCompile("json"), "a file that is replaced by its .bak has no line"},
}

// pendingRow gives the reason for which a row may be wrong.
func pendingRow(name string) (string, bool) {
	for _, p := range pending {
		if p.rows.MatchString(name) {
			return p.why, true
		}
	}
	return "", false
}
