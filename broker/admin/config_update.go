package admin

import (
	"strings"

	"github.com/merlinmq/merlin/broker/config"
	"github.com/merlinmq/merlin/protocol"
	"github.com/merlinmq/merlin/protocol/header"
	"github.com/merlinmq/merlin/protocol/wire"
	"github.com/merlinmq/merlin/remoting"
)

// UpdateBrokerConfig is UPDATE_BROKER_CONFIG (25): a body of key=value lines that
// changes the configuration while the broker runs and in its file, all of it or
// nothing. A key of the black list is NO_PERMISSION (16). What this broker does not
// act on, and what it reads at start, is a success as in Java, with a remark that
// says so. Unlike Java, which answers success and drops them, it refuses (1) a key
// that nobody knows, a value that does not parse, and one that promises protection,
// copies or membership which this broker does not have. A change of
// brokerPermission or namesrvAddr is told to the name servers at once.
func (h *Handler) UpdateBrokerConfig(r *remoting.Request, _ *header.None) (*remoting.Answer, error) {
	changes, err := config.ParseChanges(r.Cmd.Body)
	if err != nil {
		return refuse(protocol.SystemError, "string2Properties error")
	}
	black := h.Config.Get().BlackList()
	for key := range changes {
		if black[key] {
			h.Logger.Warn("configuration update refused: black list", "key", key, from(r))
			return refuse(protocol.NoPermission, "Can not update config in black list.")
		}
	}
	if len(r.Cmd.Body) == 0 {
		return done()
	}
	h.Logger.Info("configuration update", "keys", len(changes), from(r))
	notes, err := h.Config.Change(changes)
	if err != nil {
		h.Logger.Warn("configuration update refused", "error", err, from(r))
		return nil, &protocol.Error{Code: protocol.SystemError, Remark: err.Error()}
	}
	_, permission := changes["brokerPermission"]
	_, nameServers := changes["namesrvAddr"]
	if permission {
		h.Topics.NextVersion()
	}
	if permission || nameServers {
		h.Register()
	}
	if len(notes) == 0 {
		return done()
	}
	remarks := make([]string, len(notes))
	for i, n := range notes {
		remarks[i] = n.String()
	}
	return &remoting.Answer{Remark: strings.Join(remarks, "; "), HasRemark: true}, nil
}

// GetBrokerConfig is GET_BROKER_CONFIG (26): every known key with its value as
// sorted key=value lines, without passwords; the header has the version of the
// configuration.
func (h *Handler) GetBrokerConfig(*remoting.Request, *header.None) (*remoting.Answer, error) {
	v := h.Config.Version()
	version := `{"counter":` + itoa(v.Counter) + `,"stateVersion":` + itoa(v.StateVersion) + `,"timestamp":` + itoa(v.Timestamp) + `}`
	return &remoting.Answer{
		Header: &header.GetBrokerConfigResponse{Version: wire.Some(version)},
		Body:   []byte(h.Config.Text()),
	}, nil
}
