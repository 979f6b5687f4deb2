package main

import (
	"time"

	"github.com/hashicorp/consul/api"
)

// Services with sidecars, what is said about them, and how they are found.
func mesh(client *api.Client) error {
	agent, entries := client.Agent(), client.ConfigEntries()
	web := &api.AgentServiceRegistration{
		ID: "web-1", Name: "web", Port: 8080, Tags: []string{"v1"},
		Meta:     map[string]string{"team": "shop"},
		Locality: &api.Locality{Region: "eu", Zone: "eu-1"},
		Check:    &api.AgentServiceCheck{CheckID: "web-alive", TTL: "30s"},
		Connect: &api.AgentServiceConnect{SidecarService: &api.AgentServiceRegistration{
			Proxy: &api.AgentServiceConnectProxyConfig{
				Mode:      api.ProxyModeDirect,
				Upstreams: []api.Upstream{{DestinationName: "db", LocalBindPort: 9191}},
			},
		}},
	}
	return steps(
		named("register a service with a sidecar", func() error { return agent.ServiceRegister(web) }),
		named("read it back", func() error {
			service, _, err := agent.Service("web-1", nil)
			if err != nil {
				return err
			}
			proxy, _, err := agent.Service("web-1-sidecar-proxy", nil)
			if err != nil {
				return err
			}
			return expect(service.Locality != nil && service.Locality.Zone == "eu-1" && service.Meta["team"] == "shop" &&
				proxy.Kind == api.ServiceKindConnectProxy && proxy.Proxy.DestinationServiceName == "web" &&
				proxy.Proxy.Upstreams[0].DestinationName == "db", "service %+v, proxy %+v", service, proxy)
		}),
		named("a watch of its health sees the check pass", func() error {
			go func() {
				time.Sleep(200 * time.Millisecond) // the watch blocks by then; if not, it is answered at once
				_ = agent.UpdateTTL("web-alive", "fine", api.HealthPassing)
			}()
			return watchHealth(client, "web", func(found []*api.ServiceEntry) bool {
				return len(found) == 1 && found[0].Checks.AggregatedStatus() == api.HealthPassing
			})
		}),
		named("register a node of others in the catalog", func() error {
			_, err := client.Catalog().Register(&api.CatalogRegistration{
				Node: "external", Address: "10.1.2.3", SkipNodeUpdate: false,
				Locality: &api.Locality{Region: "eu"},
				Service:  &api.AgentService{Service: "db", Port: 5432, SocketPath: "/run/db.sock"},
				Check:    &api.AgentCheck{Node: "external", CheckID: "db", Name: "db", Status: api.HealthPassing},
			}, nil)
			if err != nil {
				return err
			}
			found, _, err := client.Catalog().Service("db", "", nil)
			if err != nil {
				return err
			}
			return expect(len(found) == 1 && found[0].ServicePort == 5432, "found %+v", found)
		}),
		named("mesh-capable instances", func() error {
			found, _, err := client.Health().Connect("web", "", true, nil)
			if err != nil {
				return err
			}
			return expect(len(found) <= 1, "found %d", len(found))
		}),
		named("write entries of several kinds", func() error {
			for _, entry := range []api.ConfigEntry{
				&api.ProxyConfigEntry{Kind: api.ProxyDefaults, Name: api.ProxyConfigGlobal,
					Config: map[string]any{"protocol": "http"}},
				&api.ServiceConfigEntry{Kind: api.ServiceDefaults, Name: "db", Protocol: "http",
					MaxInboundConnections: 10, UpstreamConfig: &api.UpstreamConfiguration{
						Defaults: &api.UpstreamConfig{ConnectTimeoutMs: 1000}}},
				&api.ServiceResolverConfigEntry{Kind: api.ServiceResolver, Name: "db", ConnectTimeout: 3 * time.Second,
					Subsets: map[string]api.ServiceResolverSubset{"v1": {Filter: "Service.Tags contains \"v1\""}}},
				&api.ServiceSplitterConfigEntry{Kind: api.ServiceSplitter, Name: "db",
					Splits: []api.ServiceSplit{{Weight: 90}, {Weight: 10, ServiceSubset: "v1"}}},
				&api.ServiceRouterConfigEntry{Kind: api.ServiceRouter, Name: "db",
					Routes: []api.ServiceRoute{{Match: &api.ServiceRouteMatch{HTTP: &api.ServiceRouteHTTPMatch{PathPrefix: "/admin"}},
						Destination: &api.ServiceRouteDestination{ServiceSubset: "v1", PrefixRewrite: "/"}}}},
				&api.ServiceIntentionsConfigEntry{Kind: api.ServiceIntentions, Name: "db",
					Sources: []*api.SourceIntention{{Name: "web", Action: api.IntentionActionAllow},
						{Name: "*", Action: api.IntentionActionDeny}}},
				&api.MeshConfigEntry{},
			} {
				written, _, err := entries.Set(entry, nil)
				if err != nil {
					return err
				}
				if err := expect(written, "%s was not written", entry.GetKind()); err != nil {
					return err
				}
			}
			return nil
		}),
		named("read them back", func() error {
			entry, _, err := entries.Get(api.ServiceResolver, "db", nil)
			if err != nil {
				return err
			}
			resolver := entry.(*api.ServiceResolverConfigEntry)
			all, _, err := entries.List(api.ServiceDefaults, nil)
			if err != nil {
				return err
			}
			return expect(resolver.ConnectTimeout == 3*time.Second && len(all) == 1, "resolver %+v", resolver)
		}),
		named("compare and set", func() error {
			stale := &api.ServiceConfigEntry{Kind: api.ServiceDefaults, Name: "db", Protocol: "grpc"}
			written, _, err := entries.CAS(stale, 1, nil)
			if err != nil {
				return err
			}
			return expect(!written, "a stale index was taken")
		}),
		named("the discovery chain", func() error {
			chain, _, err := client.DiscoveryChain().Get("db", nil, nil)
			if err != nil {
				return err
			}
			return expect(chain.Chain.Protocol == "http", "protocol %s", chain.Chain.Protocol)
		}),
		named("intentions", func() error {
			allowed, _, err := client.Connect().IntentionCheck(&api.IntentionCheck{Source: "web", Destination: "db"}, nil)
			if err != nil {
				return err
			}
			denied, _, err := client.Connect().IntentionCheck(&api.IntentionCheck{Source: "other", Destination: "db"}, nil)
			if err != nil {
				return err
			}
			if err := expect(allowed && !denied, "allowed %v, denied %v", allowed, denied); err != nil {
				return err
			}
			_, err = client.Connect().IntentionUpsert(
				&api.Intention{SourceName: "api", DestinationName: "web", Action: api.IntentionActionDeny}, nil)
			if err != nil {
				return err
			}
			list, _, err := client.Connect().Intentions(nil)
			if err != nil {
				return err
			}
			return expect(len(list) == 3, "%d intentions", len(list))
		}),
		named("roots and a leaf", func() error {
			roots, _, err := agent.ConnectCARoots(nil)
			if err != nil {
				return err
			}
			leaf, _, err := agent.ConnectCALeaf("web", nil)
			if err != nil {
				return err
			}
			return expect(len(roots.Roots) > 0 && leaf.Service == "web", "leaf of %s", leaf.Service)
		}),
		named("a prepared query", func() error {
			id, _, err := client.PreparedQuery().Create(&api.PreparedQueryDefinition{Name: "find-db",
				Service: api.ServiceQuery{Service: "db", OnlyPassing: true,
					Failover: api.QueryFailoverOptions{Datacenters: []string{}}}}, nil)
			if err != nil {
				return err
			}
			found, _, err := client.PreparedQuery().Execute("find-db", nil)
			if err != nil {
				return err
			}
			if err := expect(len(found.Nodes) == 1, "%d nodes", len(found.Nodes)); err != nil {
				return err
			}
			_, err = client.PreparedQuery().Delete(id, nil)
			return err
		}),
		named("take out of use and deregister", func() error {
			if err := agent.EnableServiceMaintenance("web-1", "by hand"); err != nil {
				return err
			}
			if err := agent.DisableServiceMaintenance("web-1"); err != nil {
				return err
			}
			return agent.ServiceDeregister("web-1")
		}),
		named("a watch sees it go", func() error {
			return watchHealth(client, "web", func(found []*api.ServiceEntry) bool { return len(found) == 0 })
		}),
	)
}
