-- name: roles
select rolname::text || ' ' || md5(row(rolsuper, rolinherit, rolcreaterole, rolcreatedb, rolcanlogin,
       rolreplication, rolbypassrls, rolconnlimit, rolpassword, rolvaliduntil)::text) as role
from pg_authid where rolname !~ '^pg_' order by 1

-- name: databases
-- template0 is every cluster's own.
select datname::text as name, datallowconn as open
from pg_database where datname <> 'template0' order by 1

-- name: sequences
select format('%%I.%%I', schemaname, sequencename) as name, last_value as value
from pg_sequences order by 1

-- name: left
-- Of what each came with: an older extension's functions, and indexes in an order of before.
select format('alter extension %%I update', extname) as command
from pg_extension join pg_available_extensions on name = extname
where default_version <> extversion
union all
select format('reindex database %%1$I; alter database %%1$I refresh collation version', datname)
from pg_database
where datname = current_database()
  and datcollversion is distinct from pg_database_collation_actual_version(oid)
  and datcollversion is not null
order by command
