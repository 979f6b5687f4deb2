package main

import (
	"strings"
	"time"

	"github.com/hashicorp/consul/api"
)

// Policies, roles and tokens, with the token of CONSUL_HTTP_TOKEN, which manages them.
func access(client *api.Client) error {
	acl := client.ACL()
	var policy *api.ACLPolicy
	var token *api.ACLToken
	return steps(
		named("a policy", func() (err error) {
			policy, _, err = acl.PolicyCreate(&api.ACLPolicy{Name: "web-read", Rules: `service "web" { policy = "read" }`}, nil)
			return err
		}),
		named("templated policies", func() error {
			all, _, err := acl.TemplatedPolicyList(nil)
			if err != nil {
				return err
			}
			preview, _, err := acl.TemplatedPolicyPreview(&api.ACLTemplatedPolicy{
				TemplateName:      api.ACLTemplatedPolicyServiceName,
				TemplateVariables: &api.ACLTemplatedPolicyVariables{Name: "web"},
			}, nil)
			if err != nil {
				return err
			}
			named := strings.Contains(preview.Rules, "web-sidecar-proxy")
			return expect(len(all) == 7 && named, "%d, %s", len(all), preview.Rules)
		}),
		named("a role and a token of it", func() error {
			role, _, err := acl.RoleCreate(&api.ACLRole{Name: "web", Policies: []*api.ACLRolePolicyLink{{Name: "web-read"}},
				TemplatedPolicies: []*api.ACLTemplatedPolicy{{TemplateName: api.ACLTemplatedPolicyServiceName,
					TemplateVariables: &api.ACLTemplatedPolicyVariables{Name: "web"}}}}, nil)
			if err != nil {
				return err
			}
			token, _, err = acl.TokenCreate(&api.ACLToken{Description: "of web", Roles: []*api.ACLTokenRoleLink{{ID: role.ID}},
				ServiceIdentities: []*api.ACLServiceIdentity{{ServiceName: "api"}}, ExpirationTTL: time.Hour}, nil)
			return err
		}),
		named("find it by its service", func() error {
			found, _, err := acl.TokenListFiltered(api.ACLTokenFilterOptions{ServiceName: "api"}, nil)
			if err != nil {
				return err
			}
			return expect(len(found) == 1 && found[0].AccessorID == token.AccessorID, "found %d", len(found))
		}),
		named("it may do what it was given and no more", func() error {
			config := api.DefaultConfig()
			config.Token = token.SecretID
			own, err := api.NewClient(config)
			if err != nil {
				return err
			}
			if err := own.Agent().ServiceRegister(&api.AgentServiceRegistration{Name: "web", Port: 1}); err != nil {
				return err
			}
			if err := own.Agent().ServiceRegister(&api.AgentServiceRegistration{Name: "db", Port: 1}); err == nil {
				return expect(false, "db was registered")
			}
			self, _, err := own.ACL().TokenReadSelf(nil)
			if err != nil {
				return err
			}
			return expect(self.AccessorID == token.AccessorID, "self is %s", self.AccessorID)
		}),
		named("change, clone and delete", func() error {
			token.Description = "of web, changed"
			if _, _, err := acl.TokenUpdate(token, nil); err != nil {
				return err
			}
			clone, _, err := acl.TokenClone(token.AccessorID, "a clone", nil)
			if err != nil {
				return err
			}
			for _, accessor := range []string{clone.AccessorID, token.AccessorID} {
				if _, err := acl.TokenDelete(accessor, nil); err != nil {
					return err
				}
			}
			_, err = acl.PolicyDelete(policy.ID, nil)
			return err
		}),
	)
}
