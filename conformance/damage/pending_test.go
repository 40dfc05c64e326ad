package damage

import "regexp"

// pending are rows that are known to be wrong, with the reason. They are printed and
// do not fail unless -strict is given.
var pending = []struct {
	rows *regexp.Regexp
	why  string
}{
	// What stays when damage is told from a crash and reads name the file.
	{regexp.MustCompile("^commitlog, .* / byte flipped in a head /"), "queue and queue offset of a record are not compared with where it was asked for"},
	{regexp.MustCompile("^commitlog, .* / zeroed /"), "zeros are the end of the log, also below its durable floor"},
	{regexp.MustCompile("^commitlog, .* / from another broker /"), "a record of another broker that names its own place is taken"},
	{regexp.MustCompile("^consumequeue, .* / byte flipped in a head / killed before"), "an entry that points behind the log ends its queue"},
	{regexp.MustCompile("^consumequeue, .* / (byte flipped in a body|block zeroed) / killed"), "a tags code is not compared with its record"},
	{regexp.MustCompile("^consumequeue, first file / deleted"), "the first file of a queue may have expired"},
	{regexp.MustCompile("^index"), "damaged index files are not looked for"},
	{regexp.MustCompile("json"), "a small file that is replaced by its .bak, or is gone, has no line"},
	// Until then.
	{regexp.MustCompile("^commitlog"), "recovery takes damage for a crash, reads do not name the file"},
	{regexp.MustCompile("^consumequeue"), "damaged entries are not looked for, a changed file size is taken"},
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
	"TestContent_ZerosInAProperty":          "hostile content is taken for a torn write",
	"TestContent_RecordsInABody":            "the log is cut at a damaged record",
	"TestContent_ZeroName":                  "hostile content is taken for a torn write",
	"TestTopic_DeletedStaysDeleted":         "a deleted topic comes back with its messages",
	"TestIndex_ChainThatJavaBroke":          "an index file is cut at an entry of Java, and its keys are not made again",
	"TestDamage_OldestByteAndADeletedTopic": "one rotten byte deletes the log behind it",
	"TestClock_BackThenKilled":              "recovery chooses its start by store time",
}
