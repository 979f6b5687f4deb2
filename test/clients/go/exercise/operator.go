package main

import (
	"bytes"
	"io"
	"time"

	"github.com/hashicorp/consul/api"
)

// What is asked of agents and servers as a whole.
func operator(client *api.Client) error {
	agent, servers := client.Agent(), client.Operator()
	return steps(
		named("self, members, host, version, metrics", func() error {
			self, err := agent.Self()
			if err != nil {
				return err
			}
			members, err := agent.Members(false)
			if err != nil {
				return err
			}
			if _, err := agent.Host(); err != nil {
				return err
			}
			version, err := agent.Version()
			if err != nil {
				return err
			}
			if _, err := agent.Metrics(); err != nil {
				return err
			}
			return expect(len(members) == 1 && self["Config"]["Version"] == version["HumanVersion"],
				"%d members, version %v", len(members), version)
		}),
		named("the log, a line at once", func() error {
			stop := make(chan struct{})
			defer close(stop)
			lines, err := agent.Monitor("info", stop, nil)
			if err != nil {
				return err
			}
			select {
			case line := <-lines:
				return expect(line != "", "the log ended")
			case <-time.After(10 * time.Second):
				return expect(false, "no line")
			}
		}),
		named("raft, autopilot, usage, keyring", func() error {
			raft, err := servers.RaftGetConfiguration(nil)
			if err != nil {
				return err
			}
			config, err := servers.AutopilotGetConfiguration(nil)
			if err != nil {
				return err
			}
			config.MaxTrailingLogs = 400
			written, err := servers.AutopilotCASConfiguration(config, nil)
			if err != nil {
				return err
			}
			state, err := servers.AutopilotState(nil)
			if err != nil {
				return err
			}
			health, err := servers.AutopilotServerHealth(nil)
			if err != nil {
				return err
			}
			usage, _, err := servers.Usage(nil)
			if err != nil {
				return err
			}
			keys, err := servers.KeyringList(nil)
			if err != nil {
				return err
			}
			return expect(len(raft.Servers) == 1 && written && state.Healthy && health.Healthy && len(keys) == 0 &&
				usage.Usage["dc1"].Nodes >= 1, "raft %+v, state %+v, usage %+v", raft, state, usage)
		}),
		named("a snapshot is saved and restored", func() error {
			reader, _, err := client.Snapshot().Save(nil)
			if err != nil {
				return err
			}
			archive, err := io.ReadAll(reader)
			if err != nil {
				return err
			}
			return client.Snapshot().Restore(nil, bytes.NewReader(archive))
		}),
		named("leader, peers, datacenters, coordinates", func() error {
			// A restored store has no leader for a moment.
			leader := ""
			for tries := 0; leader == "" && tries < 100; tries++ {
				var err error
				if leader, err = client.Status().Leader(); err != nil {
					return err
				}
				time.Sleep(50 * time.Millisecond)
			}
			peers, err := client.Status().Peers()
			if err != nil {
				return err
			}
			datacenters, err := client.Catalog().Datacenters()
			if err != nil {
				return err
			}
			if _, err := client.Coordinate().Datacenters(); err != nil {
				return err
			}
			return expect(len(peers) == 1 && peers[0] == leader && len(datacenters) == 1, "leader %s of %v", leader, peers)
		}),
		named("what gateways, peers and events would fill", func() error {
			if _, _, err := client.Health().Ingress("web", true, nil); err != nil {
				return err
			}
			if _, _, err := client.Catalog().GatewayServices("gateway", nil); err != nil {
				return err
			}
			_, _, err := client.Peerings().List(nil, nil)
			return err
		}),
	)
}
