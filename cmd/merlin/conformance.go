package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"regexp"
	"time"

	"github.com/merlinmq/merlin/conformance/suite"
)

// errDiffers is the outcome of a conformance run that found something.
var errDiffers = errors.New("conformance: there are failed cases")

// runConformance runs the cases of the Go client against one cluster, or against
// two side by side. The exit code says whether all passed.
func runConformance(ctx context.Context, args []string, out, errOut io.Writer) error {
	flags := flag.NewFlagSet("merlin conformance", flag.ContinueOnError)
	flags.SetOutput(errOut)
	addr := flags.String("n", "127.0.0.1:9876", "name server of the cluster")
	versus := flags.String("vs", "", "name server of a second cluster, shown beside the first")
	pattern := flags.String("run", "", "regular expression that case names must match")
	asJSON := flags.Bool("json", false, "write the results as JSON instead of a table")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil
		}
		return err
	}
	match, err := regexp.Compile(*pattern)
	if err != nil {
		return fmt.Errorf("-run: %w", err)
	}
	clusters := []string{*addr}
	if *versus != "" {
		clusters = append(clusters, *versus)
	}
	var columns [][]suite.Result
	for _, c := range clusters {
		column, err := runSuite(ctx, c, match, errOut)
		if err != nil {
			return err
		}
		columns = append(columns, column)
	}
	if *asJSON {
		err = writeJSON(out, clusters, columns)
	} else {
		writeTable(out, clusters, columns)
	}
	if err == nil && anyFailed(columns) {
		err = errDiffers
	}
	return err
}

// runSuite runs the cases on one cluster, with a progress line for each that
// ends. The servers are not disturbed: they may be in use.
func runSuite(ctx context.Context, nameServer string, match *regexp.Regexp, progress io.Writer) ([]suite.Result, error) {
	done, total := 0, 0
	for _, c := range suite.Cases() {
		if match.MatchString(c.Name) {
			total++
		}
	}
	return suite.Run(ctx, suite.Options{NameServer: nameServer, Match: match, Done: func(r suite.Result) {
		done++
		fmt.Fprintf(progress, "%s  %3d/%d  %-4s  %-40s %6.1f s\n", nameServer, done, total, r.Status, r.Case.Name, r.Duration.Seconds())
	}})
}

func anyFailed(columns [][]suite.Result) bool {
	for _, column := range columns {
		for _, r := range column {
			if r.Status == suite.Failed {
				return true
			}
		}
	}
	return false
}

// writeTable shows the cases by area with a column for each cluster, then what
// went wrong.
func writeTable(out io.Writer, clusters []string, columns [][]suite.Result) {
	fmt.Fprintf(out, "%-12s %-44s", "area", "case")
	for _, c := range clusters {
		fmt.Fprintf(out, " %-22s", c)
	}
	fmt.Fprintln(out)
	for _, area := range suite.Areas() {
		for i, r := range columns[0] {
			if r.Case.Area != area {
				continue
			}
			fmt.Fprintf(out, "%-12s %-44s", area, r.Case.Name)
			for _, column := range columns {
				fmt.Fprintf(out, " %-22s", column[i].Status)
			}
			fmt.Fprintln(out)
		}
	}
	for k, column := range columns {
		count := map[suite.Status]int{}
		for _, r := range column {
			count[r.Status]++
		}
		fmt.Fprintf(out, "\n%s: %d passed, %d failed, %d skipped\n", clusters[k], count[suite.Passed], count[suite.Failed], count[suite.Skipped])
		for _, r := range column {
			if r.Status == suite.Passed {
				continue
			}
			fmt.Fprintf(out, "  %s %s: %s\n", r.Status, r.Case.Name, r.Reason)
			if r.Status == suite.Failed {
				fmt.Fprintf(out, "    promised: %s\n", r.Case.Promise)
				for _, line := range r.Log {
					fmt.Fprintf(out, "    %s\n", line)
				}
			}
		}
	}
}

// writeJSON writes one object with the results of each cluster.
func writeJSON(out io.Writer, clusters []string, columns [][]suite.Result) error {
	type row struct {
		Case    string       `json:"case"`
		Area    string       `json:"area"`
		Promise string       `json:"promise"`
		Status  suite.Status `json:"status"`
		Reason  string       `json:"reason,omitempty"`
		Millis  int64        `json:"millis"`
	}
	report := map[string][]row{}
	for k, column := range columns {
		rows := make([]row, 0, len(column))
		for _, r := range column {
			rows = append(rows, row{r.Case.Name, r.Case.Area, r.Case.Promise, r.Status, r.Reason, r.Duration.Round(time.Millisecond).Milliseconds()})
		}
		report[clusters[k]] = rows
	}
	e := json.NewEncoder(out)
	e.SetIndent("", "  ")
	return e.Encode(report)
}
