package damage

import "regexp"

// pending are rows that are known to be wrong, with the reason. They are printed and
// do not fail unless -strict is given.
var pending = []struct {
	rows *regexp.Regexp
	why  string
}{
	// Without a floor and without ends a whole record that names its own place in the
	// log and an offset of its queue is the broker's own: nothing on the disk says
	// otherwise. docs/DURABILITY.md.
	{regexp.MustCompile("^commitlog, .* / from another broker / killed before a checkpoint"), "nothing on the disk tells another broker's records from one's own before there is a checkpoint"},
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

// pendingTests are the same for tests of their own.
var pendingTests = map[string]string{}
