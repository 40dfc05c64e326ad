package damage

import (
	"fmt"
	"strings"
)

// Table is the matrix as markdown.
func Table(rows []*Verdict) string {
	var b strings.Builder
	b.WriteString("| file | damage | stop | outcome | lines | |\n| --- | --- | --- | --- | --- | --- |\n")
	for _, v := range rows {
		if v == nil {
			continue
		}
		ok := "ok"
		if len(v.Violations) > 0 {
			ok = "**" + strings.ReplaceAll(strings.Join(v.Violations, "; "), "|", "/") + "**"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %d | %s |\n", v.Row.Kind, v.Row.Damage, v.Row.Stop, v.Outcome(), v.Lines, ok)
	}
	return b.String()
}
