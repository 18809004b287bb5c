/* The list of instances as a table and as JSON, for the commands that show it. */
#ifndef ROUTING_CTL_INSTANCES_H
#define ROUTING_CTL_INSTANCES_H

#include "routing/ctl/instance_list.h"

void instances_print(const struct instance_list *list);
json_t *instances_json(const struct instance_list *list);

#endif
