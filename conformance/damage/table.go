package damage

import (
	"fmt"
	"strings"
)

// Table is the matrix as markdown. The column of the Java broker is there when one
// was given the same files.
func Table(rows []*Verdict) string {
	var b strings.Builder
	beside := false
	for _, v := range rows {
		beside = beside || v != nil && v.Beside != ""
	}
	head, line := "| file | damage | stop | outcome | lines |", "| --- | --- | --- | --- | --- |"
	if beside {
		head, line = head+" Java |", line+" --- |"
	}
	fmt.Fprintf(&b, "%s |\n%s --- |\n", head, line)
	for _, v := range rows {
		if v == nil {
			continue
		}
		ok := "ok"
		if len(v.Violations) > 0 {
			ok = "**" + strings.ReplaceAll(strings.Join(v.Violations, "; "), "|", "/") + "**"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %d |", v.Row.Kind, v.Row.Damage, v.Row.Stop, v.Outcome(), v.Lines)
		if beside {
			fmt.Fprintf(&b, " %s |", v.Beside)
		}
		fmt.Fprintf(&b, " %s |\n", ok)
	}
	return b.String()
}
