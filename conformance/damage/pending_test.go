package damage

import "regexp"

// pending are rows that are known to be wrong, with the reason. They are printed and
// do not fail unless -strict is given.
var pending = []struct {
	rows *regexp.Regexp
	why  string
}{
	// What no checksum covers shows when it is read, if at all.
	{regexp.MustCompile("^commitlog, .* / (byte flipped in a head|block zeroed) /"), "no checksum covers the head and the properties of a record"},
	{regexp.MustCompile("^commitlog, .* / from another broker /"), "a record of another broker that names its own place is taken"},
	{regexp.MustCompile("^consumequeue, .* / byte flipped in a head / killed before"), "an entry that points behind the log ends its queue"},
	{regexp.MustCompile("^consumequeue, .* / (byte flipped in a body|block zeroed) / killed"), "a tags code is not compared with its record"},
	{regexp.MustCompile("^index"), "damaged index files are not looked for"},
	{regexp.MustCompile("json"), "a small file that is replaced by its .bak, or is gone, has no line"},
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
var pendingTests = map[string]string{
	"TestIndex_ChainThatJavaBroke": "an index file is cut at an entry of Java, and its keys are not made again",
}
