package suite

import (
	"context"
	"regexp"
)

// sweep removes what came back after the cases removed it, also when the run was
// interrupted.
func (r *run) sweep(ctx context.Context) {
	r.o.Cluster.Places().Clean(context.WithoutCancel(ctx), regexp.MustCompile(`conf-`+r.id+`-`))
}
