package damage

import "regexp"

// pending are rows that are known to be wrong, with the reason. They are printed and
// do not fail unless -strict is given.
var pending = []struct {
	rows *regexp.Regexp
	why  string
}{
	{regexp.MustCompile("^commitlog, .* / from another broker / "), "a record of another broker that names its own place, queue and offset is taken"},
	// What no checksum covers shows when it is read, if at all.
	{regexp.MustCompile("^consumequeue, .* / (byte flipped in a body|block zeroed) / killed after a pause"), "a tags code is compared with its record only where the log is read again"},
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
