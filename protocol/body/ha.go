package body

// HARuntimeInfo is the state of replication, of the codes 907.
type HARuntimeInfo struct {
	HaClientRuntimeInfo      HAClientRuntimeInfo       `json:"haClientRuntimeInfo"`
	HaConnectionInfo         []HAConnectionRuntimeInfo `json:"haConnectionInfo" java:"nonnil"`
	InSyncSlaveNums          int32                     `json:"inSyncSlaveNums"`
	Master                   bool                      `json:"master"`
	MasterCommitLogMaxOffset int64                     `json:"masterCommitLogMaxOffset"`
}

// HAClientRuntimeInfo is the state of a replica towards its master (HARuntimeInfo.HAClientRuntimeInfo).
type HAClientRuntimeInfo struct {
	LastReadTimestamp       int64  `json:"lastReadTimestamp"`
	LastWriteTimestamp      int64  `json:"lastWriteTimestamp"`
	MasterAddr              string `json:"masterAddr"`
	MasterFlushOffset       int64  `json:"masterFlushOffset"`
	MaxOffset               int64  `json:"maxOffset"`
	TransferredByteInSecond int64  `json:"transferredByteInSecond"`
}

// HAConnectionRuntimeInfo is the state of one replica at its master (HARuntimeInfo.HAConnectionRuntimeInfo).
type HAConnectionRuntimeInfo struct {
	Addr                    string `json:"addr"`
	Diff                    int64  `json:"diff"`
	InSync                  bool   `json:"inSync"`
	SlaveAckOffset          int64  `json:"slaveAckOffset"`
	TransferFromWhere       int64  `json:"transferFromWhere"`
	TransferredByteInSecond int64  `json:"transferredByteInSecond"`
}

// SyncStateSet is the replicas that are in sync, of the codes 1001, 1003, 1004, 1008.
type SyncStateSet struct {
	SyncStateSet      []int64 `json:"syncStateSet" java:"set"`
	SyncStateSetEpoch int32   `json:"syncStateSetEpoch"`
}

// ElectMasterResponseBody is the outcome of an election, of the codes 1002.
type ElectMasterResponseBody struct {
	BrokerMemberGroup *BrokerMemberGroup `json:"brokerMemberGroup"`
	SyncStateSet      []int64            `json:"syncStateSet" java:"set"`
}

// BrokerReplicasInfo is the replicas of broker sets, of the codes 1006.
type BrokerReplicasInfo struct {
	ReplicasInfoTable map[string]ReplicasInfo `json:"replicasInfoTable"`
}

// ReplicasInfo is the replicas of one broker set (BrokerReplicasInfo.ReplicasInfo).
type ReplicasInfo struct {
	InSyncReplicas    []ReplicaIdentity `json:"inSyncReplicas"`
	MasterAddress     string            `json:"masterAddress"`
	MasterBrokerID    *int64            `json:"masterBrokerId"`
	MasterEpoch       *int32            `json:"masterEpoch"`
	NotInSyncReplicas []ReplicaIdentity `json:"notInSyncReplicas"`
	SyncStateSetEpoch *int32            `json:"syncStateSetEpoch"`
}

// ReplicaIdentity is one replica (BrokerReplicasInfo.ReplicaIdentity).
type ReplicaIdentity struct {
	Alive         *bool  `json:"alive"`
	BrokerAddress string `json:"brokerAddress"`
	BrokerID      *int64 `json:"brokerId"`
	BrokerName    string `json:"brokerName"`
}

// EpochEntryCache is the reigns a broker knows, of the codes 1007.
type EpochEntryCache struct {
	BrokerID    int64        `json:"brokerId"`
	BrokerName  string       `json:"brokerName"`
	ClusterName string       `json:"clusterName"`
	EpochList   []EpochEntry `json:"epochList"`
	MaxOffset   int64        `json:"maxOffset"`
}

// EpochEntry is one reign of a master in the log.
type EpochEntry struct {
	EndOffset   int64 `json:"endOffset"` // default Long.MAX_VALUE
	Epoch       int32 `json:"epoch"`
	StartOffset int64 `json:"startOffset"`
}
