"""``python -m keras_ab`` is ``keras-ab``."""

import sys

from keras_ab.command_line import main

sys.exit(main())
